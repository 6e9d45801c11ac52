/** Who has access. */

import { confirmLoss } from "../details";
import * as units from "../units";
import { h, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { learnOwners } from "./owners";
import { type Around, Section } from "./section";
import { buttons, cell, Moment, type Row, Table } from "./table";

const w = words.admin.tokens;

export class Tokens extends Section {
  readonly #table = new Table<api.Token>(
    w.title,
    [w.name, w.role, words.admin.owner, w.made, w.ends, words.admin.actions],
    w.none,
    (token) => token.id,
    (token) => this.#row(token),
  );

  constructor(around: Around) {
    super("tokens", w.title, around, 120_000);
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

  #row(first: api.Token): Row<api.Token> {
    const [name, role, owner] = [h("span"), cell(), h("td", { class: "reason" })];
    const id = h("code", { class: "small whose" }, first.id);
    const [made, ends] = [new Moment(), new Moment()];
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
      text(role, token.scopes.length > 0 ? w.only(may, units.list(token.scopes)) : may);
      text(owner, token.owner === token.id ? w.itself : token.owner);
      made.draw(token.createdAt);
      ends.draw(token.expiresAt);
      if (!token.expiresAt) text(ends.element, w.never);
    };
    const acts = buttons(first.current ? own : revoke);
    const head = h("th", { scope: "row" }, name, id);
    return { cells: [head, role, owner, cell(made.element), cell(ends.element), acts], draw };
  }
}
