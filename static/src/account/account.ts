/**
 * `<slipway-account>`: what somebody does about their own account, who signed in with its name and
 * password. A token has neither, and is told so.
 */

import * as api from "../api";
import * as units from "../units";
import { h, notice, problemNotice } from "../view";
import { words } from "../words";
import { PasswordForm } from "./password";
import { Sessions } from "./sessions";

const w = words.account;

export class SlipwayAccount extends HTMLElement {
  connectedCallback(): void {
    void this.#begin();
  }

  async #begin(): Promise<void> {
    try {
      const session = await api.session();
      if (session.account) this.#draw(session);
      else this.replaceChildren(notice("person", w.none, w.noneDetail));
    } catch (problem) {
      this.replaceChildren(problemNotice(problem, () => void this.#begin()));
    }
  }

  #draw({ owner, role }: api.Session): void {
    const may = words.admin.tokens.roles[role ?? ""];
    const sessions = new Sessions();
    // A changed password has ended all of the others.
    const password = new PasswordForm(owner ?? "", () => sessions.lookNow());
    this.replaceChildren(
      h("div", { class: "page-head" }, h("h1", {}, w.title)),
      h("p", { class: "muted account-name" }, units.facts(owner, may)),
      h("div", { class: "board" }, sessions.element, password.element),
    );
    sessions.lookNow();
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") sessions.lookNow();
    });
  }
}
