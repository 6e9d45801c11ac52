/** Where one's account is signed in, and the end of what one doesn't know. */

import { ask, json, Problem } from "../api";
import { Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import * as units from "../units";
import { h, loginPath, say, show } from "../view";
import { words } from "../words";

const w = words.account;
const PATH = "/api/me/sessions";

/** A browser that has signed in. */
interface Session {
  id: string;
  browser: string | null;
  system: string | null;
  createdAt: string;
  endsAt: string;
  current: boolean;
}

export class Sessions extends Section {
  readonly #others: HTMLButtonElement;
  readonly #table = new Table<Session>(
    w.sessions,
    [w.browser, w.since, w.until, words.admin.actions],
    "",
    (session) => session.id,
    (session) => this.#row(session),
  );

  constructor() {
    super("sessions", w.sessions, { changed: () => this.lookNow() }, 60_000);
    const lead = h("p", { class: "muted small" }, w.sessionsLead);
    this.#others = this.action(null, w.endOthers, () => this.#endOthers(), {
      class: "button small",
      hidden: true,
    });
    this.tools.append(this.#others);
    this.element.append(lead, this.#table.element);
  }

  protected async look(): Promise<void> {
    try {
      const { items } = await json<{ items: Session[] }>(PATH);
      this.#table.draw(items);
      show(this.#others, items.some((session) => !session.current));
    } catch (problem) {
      // Somebody has ended this one elsewhere.
      if (problem instanceof Problem && problem.status === 401) location.assign(loginPath());
      throw problem;
    }
  }

  async #endOthers(): Promise<void> {
    await ask(PATH, { method: "DELETE" });
    say(w.endedOthers);
  }

  #row(session: Session): Row<Session> {
    const name = units.facts(session.browser, session.system) || w.unknown;
    const here = h("span", { class: "chip", "data-state": "ready" }, w.here);
    const [since, until] = [new Moment(), new Moment()];
    const end = this.action("close", w.end, async () => {
      await ask(`${PATH}/${encodeURIComponent(session.id)}`, { method: "DELETE" });
      say(w.ended);
    });
    end.setAttribute("aria-label", words.labelled(w.end, name));
    const head = h("th", { scope: "row" }, h("span", {}, name));
    const acts = buttons(session.current ? here : end);
    const draw = ({ createdAt, endsAt }: Session) => {
      since.draw(createdAt);
      until.draw(endsAt);
    };
    return { cells: [head, cell(since.element), cell(until.element), acts], draw };
  }
}
