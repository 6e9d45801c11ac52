/** Small dialogs that ask for a few fields and say why something isn't possible. */

import { openDialog } from "../details";
import { told } from "../trouble";
import { copy, h, show, text } from "../view";
import { words } from "../words";

const w = words.admin.tokens;

/** A labelled field, with the text input inside it. */
export function field(label: string, props: Record<string, unknown> = {}, hint = "") {
  const input = h("input", { type: "text", autocapitalize: "off", spellcheck: "false", ...props });
  const note = hint ? [h("span", { class: "muted small" }, hint)] : [];
  return { input, element: h("label", {}, label, input, ...note) };
}

/** Asks for what `fields` hold and does it; stays open with the reason if that isn't possible. */
export function askFor<T>(
  title: string,
  fields: HTMLElement[],
  does: string,
  act: () => Promise<T>,
): Promise<T | null> {
  const problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, title),
    ...fields,
    problem,
    h(
      "div",
      { class: "actions end" },
      h("button", { type: "button", class: "button quiet", value: "cancel" }, words.edit.cancel),
      h("button", { type: "submit", class: "button primary" }, does),
    ),
  );
  return openDialog<T>(form, title, async (close) => {
    try {
      close(await act());
    } catch (error) {
      text(problem, told(error));
      show(problem, true);
    }
  });
}

/** Shows a secret this once, to be copied. */
export async function showSecret(title: string, detail: string, secret: string): Promise<void> {
  const shown = h("output", { class: "secret" }, h("code", {}, secret));
  const copier = h("button", { type: "button", class: "button" }, h("span", {}, w.copy));
  copier.addEventListener("click", () => void copy(secret, copier));
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, title),
    h("p", { class: "muted" }, detail),
    shown,
    h(
      "div",
      { class: "actions end" },
      copier,
      h("button", { type: "submit", class: "button primary" }, w.done),
    ),
  );
  await openDialog<true>(form, title, async (close) => close(true));
}
