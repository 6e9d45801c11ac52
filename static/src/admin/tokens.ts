/** Who has access. */

import { showSecret } from "../board/ask";
import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import { confirmLoss } from "../details";
import * as units from "../units";
import { h, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { makeToken } from "./new-token";
import { learnOwners } from "./owners";

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
    const made = await makeToken();
    if (made) await showSecret(w.secret, w.secretDetail, made.token);
  }

  #row(first: api.Token): Row<api.Token> {
    const [name, owner] = [h("span"), h("td", { class: "reason" })];
    const [role, scopes] = [h("span"), h("span", { class: "muted small whose" })];
    const held = h("span", { class: "muted small whose" });
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
      text(role, w.roles[token.role] ?? token.role);
      text(scopes, confined(token));
      text(held, limits(token));
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
    const may = h("td", { class: "reason" }, role, scopes, held);
    return { cells: [head, may, owner, ...moments, acts], draw };
  }
}

/** Says what alone a token is good for. */
function confined({ scopes }: api.Token): string {
  const said = scopes.map((scope) => w.scopes[scope] ?? scope);
  return said.length > 0 ? w.only(units.list(said)) : "";
}

/** Says which uploads a token may begin. */
function limits({ accept, maxSize, maxUploads, uploadsBegun }: api.Token): string {
  return units.facts(
    accept && (w.kinds[accept.join(" ")] ?? units.list(accept)),
    maxSize !== null && w.upTo(units.size(maxSize)),
    maxUploads !== null && w.begun(uploadsBegun, maxUploads),
  );
}
