/** The two small dialogs that pages share: a video's details, and a question before deleting. */

import * as api from "./api";
import { told } from "./trouble";
import { h, text } from "./view";
import { words } from "./words";

const w = words.edit;

/** Lets the person change title, description and visibility; returns the video as saved. */
export function editDetails(video: api.Video): Promise<api.Video | null> {
  const title = h("input", { name: "title", required: true, maxlength: 200, value: video.title });
  const description = h("textarea", { name: "description", rows: 4, maxlength: 5000 });
  description.value = video.description ?? "";
  const visibility = h("select", { name: "visibility" });
  for (const [value, name] of Object.entries(w.visibilities)) {
    visibility.append(h("option", { value, selected: video.visibility === value }, name));
  }
  const problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, w.title),
    h("label", {}, w.name, title),
    h("label", {}, w.description, description),
    h("label", {}, w.visibility, visibility),
    problem,
    h(
      "div",
      { class: "actions end" },
      h("button", { type: "button", class: "button quiet", value: "cancel" }, w.cancel),
      h("button", { type: "submit", class: "button primary" }, w.save),
    ),
  );
  return openDialog<api.Video>(form, w.title, async (close) => {
    try {
      close(
        await api.saveDetails(video.id, {
          title: title.value.trim(),
          description: description.value,
          visibility: visibility.value as api.Visibility,
        }),
      );
    } catch (error) {
      text(problem, told(error));
      problem.hidden = false;
    }
  });
}

/** Asks before something is done that nobody can undo; returns whether to do it. */
export async function confirmLoss(
  title: string,
  detail: string,
  yes: string,
  no: string,
): Promise<boolean> {
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, title),
    h("p", { class: "muted" }, detail),
    h(
      "div",
      { class: "actions end" },
      h(
        "button",
        { type: "button", class: "button quiet", value: "cancel", autofocus: true },
        no,
      ),
      h("button", { type: "submit", class: "button danger" }, yes),
    ),
  );
  const answer = await openDialog<true>(form, title, async (close) => close(true));
  return answer === true;
}

/** Shows a form in a dialog until it is closed, with what `submit` closed it with. */
export function openDialog<T>(
  form: HTMLFormElement,
  label: string,
  submit: (close: (result: T) => void) => Promise<void>,
): Promise<T | null> {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": label }, form);
    let result: T | null = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void submit((value) => {
        result = value;
        dialog.close();
      });
    });
    form.querySelector('button[value="cancel"]')?.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
