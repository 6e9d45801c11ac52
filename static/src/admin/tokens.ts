/** Who has access. */

import { confirmLoss } from "../details";
import * as units from "../units";
import { h, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { askFor, field, roleField, showSecret } from "./ask";
import { learnOwners } from "./owners";
import { type Around, Section } from "./section";
import { buttons, cell, Moment, type Row, Table } from "./table";

const w = words.admin.tokens;

export class Tokens extends Section {
  readonly #table = new Table<api.Token>(
    w.title,
    [w.name, w.role, words.admin.owner, w.made, w.used, w.ends, words.admin.actions],
    w.none,
    (token) => token.id,
    (token) => this.#row(token),
  );

  constructor(around: Around) {
    super("tokens", w.title, around, 120_000);
    this.tools.append(this.action(null, w.add, () => this.#create(), { class: "button small" }));
    this.element.append(
      h("p", { class: "muted small" }, w.lead, " ", h("code", {}, w.command)),
      this.#table.element,
    );
  }

  protected async look(): Promise<void> {
    const { items } = await api.tokens();
    learnOwners(items);
    this.#table.draw(items);
  }

  async #create(): Promise<void> {
    const name = field(w.name, { name: "name", autofocus: true, maxlength: 200 });
    const role = roleField("uploader");
    const owner = field(words.admin.owner, { name: "owner", maxlength: 200 }, w.ownerHint);
    const days = field(w.days, { name: "days", inputmode: "numeric", pattern: "[0-9]{1,4}" });
    const count = field(w.count, { name: "count", inputmode: "numeric", pattern: "[0-9]{1,9}" });
    const fields = [name, role, owner, days, count].map(({ element }) => element);
    const made = await askFor(w.add, fields, w.add, () => {
      const wanted: api.NewToken = { role: role.select.value };
      if (name.input.value.trim()) wanted.name = name.input.value.trim();
      if (owner.input.value.trim()) wanted.owner = owner.input.value.trim();
      if (days.input.value) wanted.expiresIn = Number(days.input.value) * 86_400;
      if (count.input.value) wanted.maxUploads = Number(count.input.value);
      return api.createToken(wanted);
    });
    if (made) await showSecret(w.secret, w.secretDetail, made.token);
  }

  #row(first: api.Token): Row<api.Token> {
    const [name, role, owner] = [h("span"), cell(), h("td", { class: "reason" })];
    const id = h("code", { class: "small whose" }, first.id);
    const [made, used, ends] = [new Moment(), new Moment(), new Moment()];
    const called = first.name ?? first.owner;
    const revoke = this.action("trash", w.revoke, async () => {
      if (!(await confirmLoss(w.revokeTitle(called), w.revokeDetail, w.revoke, w.keep))) return;
      await api.revoke(first.id);
    });
    revoke.setAttribute("aria-label", words.labelled(w.revoke, called));
    const own = h("span", { class: "muted small" }, w.current);
    const draw = (token: api.Token) => {
      text(name, token.name ?? w.unnamed);
      const may = w.roles[token.role] ?? token.role;
      const held = limits(token);
      text(role, held.length > 0 ? w.only(may, units.list(held)) : may);
      text(owner, token.owner === token.id ? w.itself : token.owner);
      made.draw(token.createdAt);
      used.draw(token.usedAt);
      if (!token.usedAt) text(used.element, w.never);
      ends.draw(token.expiresAt);
      if (!token.expiresAt) text(ends.element, w.never);
    };
    const acts = buttons(first.current ? own : revoke);
    const head = h("th", { scope: "row" }, name, id);
    const moments = [made, used, ends].map(({ element }) => cell(element));
    return { cells: [head, role, owner, ...moments, acts], draw };
  }
}

/** Says to what a token is held. */
function limits({ scopes, accept, maxSize, maxUploads, uploadsBegun }: api.Token): string[] {
  const said = [...scopes, ...(accept ?? [])];
  if (maxSize !== null) said.push(`≤ ${units.size(maxSize)}`);
  if (maxUploads !== null) said.push(`${uploadsBegun} / ${maxUploads}`);
  return said;
}
