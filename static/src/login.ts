/** `<slipway-login>`: a one-time link's button, or the field for an access token. */

import { h, icon } from "./view";
import { words } from "./words";

const w = words.login;

export class SlipwayLogin extends HTMLElement {
  connectedCallback(): void {
    const query = new URLSearchParams(location.search);
    const error = query.get("error");
    const code = error ? null : query.get("code");
    const next = h("input", { type: "hidden", name: "next", value: query.get("next") ?? "/" });
    const form = h("form", { method: "post", action: "/login", class: "stack" }, next);
    if (code) {
      form.append(
        h("input", { type: "hidden", name: "code", value: code }),
        h("button", { type: "submit", class: "button primary large", autofocus: true }, w.open),
      );
    } else {
      form.append(
        h(
          "label",
          {},
          w.token,
          h("input", {
            name: "token",
            type: "password",
            required: true,
            autofocus: true,
            autocomplete: "current-password",
            spellcheck: "false",
          }),
        ),
        h("button", { type: "submit", class: "button primary large" }, w.submit),
      );
    }
    this.replaceChildren(
      h("img", { src: "/static/mark.svg", alt: "", width: 56, height: 56 }),
      h("h1", {}, w.title),
      error ? failure(error) : "",
      h("p", { class: "muted" }, code ? w.linkLead : w.tokenLead),
      form,
    );
  }
}

function failure(error: string): HTMLElement {
  const expired = error === "expired";
  return h(
    "div",
    { class: "banner warn", role: "alert" },
    icon("alert"),
    h(
      "p",
      {},
      h("strong", {}, expired ? w.expired : w.invalid),
      " ",
      expired ? w.expiredDetail : w.invalidDetail,
      expired ? h("code", {}, w.command) : null,
    ),
  );
}
