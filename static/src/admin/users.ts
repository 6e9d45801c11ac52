/** Accounts that sign in with a name and a password. */

import { askFor, field } from "../board/ask";
import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import { confirmLoss } from "../details";
import { h, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { roleField } from "./roles";

const w = words.admin.users;
const t = words.admin.tokens;

const passwordField = () =>
  field(
    w.password,
    {
      name: "password",
      type: "password",
      autocomplete: "new-password",
      required: true,
      minlength: 8,
      maxlength: 1024,
    },
    w.passwordHint,
  );

export class Users extends Section {
  readonly #table = new Table<api.User>(
    w.title,
    [t.name, t.role, t.made, w.seen, words.admin.actions],
    w.none,
    (user) => user.id,
    (user) => this.#row(user),
  );

  constructor(around: Around) {
    super("users", w.title, around, 120_000);
    this.tools.append(this.action(null, w.add, () => this.#create(), { class: "button small" }));
    this.element.append(this.#table.element);
  }

  protected async look(): Promise<void> {
    this.#table.draw((await api.users()).items);
  }

  async #create(): Promise<void> {
    const name = field(
      t.name,
      { name: "name", autofocus: true, required: true, maxlength: 200, autocomplete: "off" },
      w.nameHint,
    );
    const [role, password] = [roleField("uploader"), passwordField()];
    const fields = [name, role, password].map(({ element }) => element);
    await askFor(w.add, fields, w.add, () =>
      api.createUser({
        name: name.input.value.trim(),
        role: role.select.value,
        password: password.input.value,
      }),
    );
  }

  async #setPassword(user: api.User): Promise<void> {
    const password = passwordField();
    const lead = h("p", { class: "muted" }, w.passwordLead);
    await askFor(words.labelled(w.password, user.name), [lead, password.element], w.setPassword, () =>
      api.changeUser(user.id, { password: password.input.value }),
    );
  }

  async #setRole(user: api.User): Promise<void> {
    const role = roleField(user.role);
    await askFor(words.labelled(w.setRole, user.name), [role.element], words.edit.save, () =>
      api.changeUser(user.id, { role: role.select.value }),
    );
  }

  #row(first: api.User): Row<api.User> {
    let user = first;
    const [role, made, seen] = [h("span"), new Moment(), new Moment()];
    const off = h("span", { class: "muted small" }, w.disabled);
    const label = (does: string) => words.labelled(does, first.name);
    const promote = this.action("pencil", "", () => this.#setRole(user), {
      class: "button quiet bare",
      title: w.setRole,
    });
    const renew = this.action("pencil", w.setPassword, () => this.#setPassword(user));
    const turn = this.action(null, w.disable, () =>
      api.changeUser(user.id, { disabled: !user.disabled }),
    );
    const remove = this.action("trash", w.remove, async () => {
      const sure = await confirmLoss(w.removeTitle(user.name), w.removeDetail, w.remove, t.keep);
      if (sure) await api.removeUser(user.id);
    });
    promote.setAttribute("aria-label", label(w.setRole));
    renew.setAttribute("aria-label", label(w.setPassword));
    remove.setAttribute("aria-label", label(w.remove));
    const own = h("span", { class: "muted small" }, t.current);
    const draw = (now: api.User) => {
      user = now;
      text(role, t.roles[user.role] ?? user.role);
      made.draw(user.createdAt);
      seen.draw(user.seenAt);
      if (!user.seenAt) text(seen.element, t.never);
      show(off, user.disabled);
      const does = user.disabled ? w.enable : w.disable;
      text(turn.querySelector("span") ?? turn, does);
      turn.setAttribute("aria-label", label(does));
    };
    const acts = first.current ? buttons(own, renew) : buttons(renew, turn, remove);
    const head = h("th", { scope: "row" }, h("span", {}, first.name), " ", off);
    // Nobody takes their own way in.
    const may = first.current ? cell(role) : cell(role, " ", promote);
    return { cells: [head, may, cell(made.element), cell(seen.element), acts], draw };
  }
}
