/** The dialog that makes a token: what it may, for whom, within what limits, until when. */

import { askFor, field } from "../board/ask";
import { h, show } from "../view";
import { words } from "../words";
import * as api from "./api";
import { roleField } from "./roles";

const w = words.admin.tokens;

/** Units of sizes, as they are shown elsewhere. */
const UNITS = { MB: 1e6, GB: 1e9, TB: 1e12 };
/** Scopes with which uploads begin, so that limits mean something. */
const BEGINS = ["upload:create", "grant:create"];

/** Asks for a token and makes it; the answer is the only place where its secret is. */
export function makeToken(): Promise<(api.Token & { token: string }) | null> {
  const name = field(w.name, { name: "name", autofocus: true, maxlength: 200 });
  const role = roleField("uploader");
  const owner = field(words.admin.owner, { name: "owner", maxlength: 200 }, w.ownerHint);
  const days = field(w.days, { name: "days", inputmode: "numeric", pattern: "[0-9]{1,4}" });
  const scopes = new Scopes();
  const limits = new Limits();
  const change = () => {
    scopes.follow(role.select.value, owner.input.value.includes("/"));
    const chosen = scopes.chosen;
    const begins = chosen.length === 0 || chosen.some((scope) => BEGINS.includes(scope));
    show(limits.element, role.select.value !== "viewer" && begins);
  };
  for (const one of [role.element, owner.element, scopes.element]) {
    one.addEventListener("input", change);
  }
  change();
  const fields = [name, role, owner, days, scopes, limits].map(({ element }) => element);
  return askFor(w.add, fields, w.add, () => {
    const wanted: api.NewToken = { role: role.select.value, scopes: scopes.chosen };
    if (name.input.value.trim()) wanted.name = name.input.value.trim();
    if (owner.input.value.trim()) wanted.owner = owner.input.value.trim();
    if (days.input.value) wanted.expiresIn = Number(days.input.value) * 86_400;
    if (!limits.element.hidden) Object.assign(wanted, limits.chosen);
    return api.createToken(wanted);
  });
}

/** What a token is confined to, as far as its role may it anyway. */
class Scopes {
  readonly element: HTMLElement;
  readonly #boxes = new Map<string, { input: HTMLInputElement; label: HTMLElement }>();

  constructor() {
    for (const { scope } of api.SCOPES) {
      const input = h("input", { type: "checkbox", name: "scope", value: scope });
      const said = h("span", {}, w.scopes[scope] ?? scope, " ", h("code", {}, scope));
      this.#boxes.set(scope, { input, label: h("label", { class: "choice" }, input, said) });
    }
    const labels = [...this.#boxes.values()].map(({ label }) => label);
    const hint = h("p", { class: "muted small" }, w.scopesHint);
    const list = h("div", {}, ...labels);
    this.element = h("fieldset", {}, h("legend", {}, w.confined), hint, list);
  }

  /** Offers what a role has; one within an organisation never runs the server. */
  follow(role: string, isWithin: boolean): void {
    const rank = (name: string) => api.ROLES.findIndex((known) => known === name);
    for (const { scope, role: smallest } of api.SCOPES) {
      const isOffered = smallest ? rank(role) >= rank(smallest) : role === "admin" && !isWithin;
      const box = this.#boxes.get(scope);
      if (!box) continue;
      show(box.label, isOffered);
      box.input.disabled = !isOffered;
    }
  }

  get chosen(): string[] {
    const boxes = [...this.#boxes.values()].map(({ input }) => input);
    return boxes.filter((box) => box.checked && !box.disabled).map((box) => box.value);
  }
}

/** Which uploads a token may begin. */
class Limits {
  readonly element: HTMLElement;
  readonly #size = field(w.size, {
    name: "size",
    inputmode: "decimal",
    pattern: "[0-9]{1,6}([.,][0-9]{1,3})?",
  });
  readonly #unit = h("select", { name: "unit", "aria-label": w.unit });
  readonly #count = field(w.count, {
    name: "count",
    inputmode: "numeric",
    pattern: "[0-9]{1,9}",
  });
  readonly #kinds = h("select", { name: "kinds" });

  constructor() {
    for (const unit of Object.keys(UNITS)) {
      this.#unit.append(h("option", { value: unit, selected: unit === "GB" }, unit));
    }
    for (const [kinds, said] of Object.entries(w.kinds)) {
      this.#kinds.append(h("option", { value: kinds }, said));
    }
    this.element = h(
      "fieldset",
      {},
      h("legend", {}, w.limits),
      h("div", { class: "with-unit" }, this.#size.element, this.#unit),
      this.#count.element,
      h("label", {}, w.kind, this.#kinds),
    );
  }

  get chosen(): Pick<api.NewToken, "maxSize" | "maxUploads" | "accept"> {
    const size = this.#size.input.value.replace(",", ".");
    const unit = UNITS[this.#unit.value as keyof typeof UNITS];
    const kinds = this.#kinds.value;
    return {
      ...(size ? { maxSize: Math.round(Number(size) * unit) } : {}),
      ...(this.#count.input.value ? { maxUploads: Number(this.#count.input.value) } : {}),
      ...(kinds ? { accept: kinds.split(" ") } : {}),
    };
  }
}
