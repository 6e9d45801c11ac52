/**
 * `<slipway-login>`: a one-time link's button, or the fields for an account's name and password,
 * with the one for an access token beneath.
 */

import * as units from "./units";
import { h, icon } from "./view";
import { words } from "./words";

const w = words.login;

export class SlipwayLogin extends HTMLElement {
  connectedCallback(): void {
    const query = new URLSearchParams(location.search);
    const error = query.get("error");
    const code = error ? null : query.get("code");
    const next = query.get("next") ?? "/";
    const seconds = Number(this.dataset.seconds ?? 0);
    this.replaceChildren(
      h("img", { src: "/static/mark.svg", alt: "", width: 56, height: 56 }),
      h("h1", {}, w.title),
      seconds > 0 ? held(seconds) : error ? failure(error) : "",
      ...(code ? byLink(next, code) : byPassword(next, error === "invalid")),
    );
  }
}

function form(next: string, ...inside: HTMLElement[]): HTMLElement {
  const onwards = h("input", { type: "hidden", name: "next", value: next });
  return h("form", { method: "post", action: "/login", class: "stack" }, onwards, ...inside);
}

function submit(said: string, isFirst = false): HTMLElement {
  const looks = isFirst ? "button primary large" : "button large";
  return h("button", { type: "submit", class: looks }, said);
}

function byLink(next: string, code: string): HTMLElement[] {
  const hidden = h("input", { type: "hidden", name: "code", value: code });
  const open = submit(w.open, true);
  open.autofocus = true;
  return [h("p", { class: "muted" }, w.linkLead), form(next, hidden, open)];
}

function byPassword(next: string, hadToken: boolean): HTMLElement[] {
  const plain = { autocapitalize: "off", spellcheck: "false", required: true };
  const name = { name: "name", type: "text", autocomplete: "username", autofocus: !hadToken };
  const secret = { type: "password", autocomplete: "current-password" };
  const token = { name: "token", type: "password", autocomplete: "off", autofocus: hadToken };
  return [
    form(
      next,
      h("label", {}, w.name, h("input", { ...plain, ...name })),
      h("label", {}, w.password, h("input", { ...plain, ...secret, name: "password" })),
      submit(w.submit, true),
    ),
    h(
      "details",
      { class: "other-way", open: hadToken },
      h("summary", {}, w.byToken),
      h("p", { class: "muted" }, w.tokenLead),
      form(next, h("label", {}, w.token, h("input", { ...plain, ...token })), submit(w.submit)),
    ),
  ];
}

/** Says for how long nobody who was wrong so often is let in. */
function held(seconds: number): HTMLElement {
  return banner(w.later(units.span(seconds)), w.laterDetail);
}

function failure(error: string): HTMLElement {
  if (error === "wrong") return banner(w.wrong, w.wrongDetail);
  if (error === "invalid") return banner(w.invalid, w.invalidDetail);
  return banner(w.expired, w.expiredDetail, h("code", {}, w.command));
}

function banner(said: string, detail: string, ...more: HTMLElement[]): HTMLElement {
  const text = h("p", {}, h("strong", {}, said), " ", detail, ...more);
  return h("div", { class: "banner warn", role: "alert" }, icon("alert"), text);
}
