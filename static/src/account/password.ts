/** Another password for one's own account. */

import { ask, Problem, sent } from "../api";
import { told } from "../trouble";
import * as units from "../units";
import { h, say, show, text } from "../view";
import { words } from "../words";

const w = words.account;

export class PasswordForm {
  readonly element: HTMLElement;
  readonly #current = passwordInput("current-password");
  readonly #fresh = passwordInput("new-password");
  readonly #shown = h("input", { type: "checkbox", name: "shown" });
  readonly #problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  readonly #done = h("p", { class: "good", hidden: true }, w.changed);
  readonly #submit = h("button", { type: "submit", class: "button primary" }, w.change);

  /** `name` is the account's; `changed` is called once the password is another one. */
  constructor(
    name: string,
    private readonly changed: () => void,
  ) {
    this.#fresh.minLength = 8;
    const form = h(
      "form",
      { class: "stack" },
      // What keeps passwords wants to know whose this one is.
      h("input", { name: "username", autocomplete: "username", value: name, hidden: true }),
      h("label", {}, w.current, this.#current),
      h("label", {}, w.fresh, this.#fresh, h("span", { class: "muted small" }, w.freshHint)),
      h("label", { class: "choice" }, this.#shown, w.show),
      this.#problem,
      h("div", { class: "actions" }, this.#submit),
      this.#done,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#change(form);
    });
    this.#shown.addEventListener("change", () => {
      const type = this.#shown.checked ? "text" : "password";
      for (const input of [this.#current, this.#fresh]) input.type = type;
    });
    this.element = h(
      "section",
      { class: "card wide", "aria-label": w.password },
      h("div", { class: "card-head" }, h("h2", {}, w.password)),
      form,
    );
  }

  async #change(form: HTMLFormElement): Promise<void> {
    if (this.#submit.getAttribute("aria-disabled") === "true") return;
    this.#submit.setAttribute("aria-disabled", "true");
    show(this.#problem, false);
    show(this.#done, false);
    try {
      const change = { current: this.#current.value, new: this.#fresh.value };
      await ask("/api/me/password", sent(change));
      form.reset();
      for (const input of [this.#current, this.#fresh]) input.type = "password";
      show(this.#done, true);
      say(w.changed);
      this.changed();
    } catch (problem) {
      text(this.#problem, inWords(problem));
      show(this.#problem, true);
      if (isAbout(problem, "wrong-password")) this.#current.select();
    } finally {
      this.#submit.removeAttribute("aria-disabled");
    }
  }
}

function passwordInput(autocomplete: "current-password" | "new-password"): HTMLInputElement {
  return h("input", {
    type: "password",
    name: autocomplete,
    autocomplete,
    required: true,
    maxlength: 1024,
    autocapitalize: "off",
    spellcheck: "false",
  });
}

const isAbout = (problem: unknown, code: string) =>
  problem instanceof Problem && problem.code === code;

/** Says why the password is still the old one. */
function inWords(problem: unknown): string {
  if (isAbout(problem, "wrong-password")) return w.wrong;
  if (isAbout(problem, "invalid-request")) return w.unfit;
  if (problem instanceof Problem && problem.code === "too-many-attempts") {
    return words.login.later(units.span((problem.retryAfterMs ?? 0) / 1000));
  }
  return told(problem);
}
