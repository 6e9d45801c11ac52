/** Keeping house: looking what there is to do, doing it, and what earlier rounds found. */

import { type Around, Section } from "../board/section";
import { cell, Moment, type Row, Table } from "../board/table";
import * as units from "../units";
import { button, h, say, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";

const w = words.admin.cleanup;
/** Work that stood still, found and put in line again (or ended). */
const STUCK = ["stuck-job", "video-without-work"];

export class Cleanup extends Section {
  readonly #state = h("p", { class: "muted small", role: "status" });
  readonly #findings = h("div", { class: "findings", hidden: true });
  readonly #real: HTMLButtonElement;
  readonly #history = new Table<api.Report>(
    w.history,
    [words.admin.when, w.by, w.found, w.size],
    w.never,
    (report) => report.startedAt,
    () => historyRow(),
  );

  constructor(
    around: Around,
    private readonly learned: (reports: api.Report[]) => void,
  ) {
    super("cleanup", w.title, around, 60_000);
    this.#real = button("check", w.real, (it) => void this.act(it, () => this.#clean(false)), {
      class: "button primary small",
      hidden: true,
    });
    const dry = button("search", w.dry, (it) => void this.act(it, () => this.#clean(true)), {
      class: "button small",
    });
    this.tools.append(dry, this.#real);
    this.element.append(
      h("p", { class: "muted small" }, w.lead),
      this.#state,
      this.#findings,
      h("h3", {}, w.history),
      this.#history.element,
    );
  }

  protected async look(): Promise<void> {
    const { items } = await api.cleanups();
    this.learned(items);
    this.#history.draw(items.slice(0, 10));
  }

  async #clean(isDry: boolean): Promise<void> {
    text(this.#state, isDry ? w.looking : w.cleaning);
    let report: api.Report;
    try {
      report = await api.cleanUp(isDry);
    } catch (problem) {
      text(this.#state, "");
      throw problem;
    }
    const size = units.size(report.bytes);
    const said = report.count === 0 ? w.clean : isDry ? w.would(report.count, size) : w.did(report.count, size);
    text(this.#state, said);
    const isWorth = report.findings.some((finding) => finding.action !== "told");
    // Whoever has just pressed it keeps the focus until they go.
    show(this.#real, isDry && isWorth);
    if (!this.#real.hidden) this.#real.focus();
    else if (document.activeElement === document.body) this.element.focus();
    show(this.#findings, report.findings.length > 0 || report.faults.length > 0);
    this.#findings.replaceChildren(findingsOf(report, isDry));
    say(said);
  }
}

function findingsOf(report: api.Report, isDry: boolean): HTMLElement {
  const list = h("ul", { class: "plain", "aria-label": isDry ? w.wouldTitle : w.didTitle });
  for (const finding of report.findings) {
    const name = w.kinds[finding.kind] ?? finding.kind;
    const action = (isDry ? w.plans : w.actions)[finding.action] ?? finding.action;
    const bytes = finding.bytes > 0 && units.size(finding.bytes);
    const examples = finding.examples.map((one) =>
      h("li", { class: "muted" }, h("code", {}, one.id), one.detail ? ` ${one.detail}` : ""),
    );
    const title = units.facts(words.labelled(name, units.number(finding.count, 0)), bytes, action);
    list.append(
      h(
        "li",
        {},
        examples.length > 0
          ? h("details", {}, h("summary", {}, title), h("ul", { class: "plain small" }, ...examples))
          : title,
      ),
    );
  }
  for (const fault of report.faults) list.append(h("li", { class: "bad" }, fault));
  return list;
}

function historyRow(): Row<api.Report> {
  const when = new Moment();
  const [by, found, size] = [cell(), h("td", { class: "reason" }), cell()];
  const draw = (report: api.Report) => {
    when.draw(report.finishedAt);
    text(by, report.dryRun ? w.dryOf(w.who[report.by]) : w.who[report.by]);
    const kinds = report.findings.map((one) =>
      words.labelled(w.kinds[one.kind] ?? one.kind, units.number(one.count, 0)),
    );
    const { length } = report.faults;
    text(found, units.facts(...kinds, length > 0 && w.faults(length)) || w.nothing);
    text(size, units.size(report.bytes));
  };
  return { cells: [h("th", { scope: "row" }, when.element), by, found, size], draw };
}

/** One piece of work that stood still. */
interface StuckWork {
  key: string;
  at: string;
  kind: string;
  action: string;
  id: string;
  reason: string;
}

/** What stood still and was found: the proof that nothing waits for ever. */
export class Stuck extends Section {
  readonly #table = new Table<StuckWork>(
    w.stuck.title,
    [words.admin.when, w.stuck.what, w.stuck.reason],
    w.stuck.none,
    (one) => one.key,
    () => stuckRow(),
  );

  constructor(around: Around) {
    super("stuck", w.stuck.title, around, 3_600_000, false);
    this.element.append(this.#table.element);
  }

  protected async look(): Promise<void> {
    // It learns from the reports, which another section asks for.
  }

  learn(reports: api.Report[]): void {
    const found = reports
      .filter((report) => !report.dryRun)
      .flatMap((report) =>
        report.findings
          .filter((finding) => STUCK.includes(finding.kind))
          .flatMap(({ kind, action, examples }) =>
            examples.map(({ id, detail }) => {
              const key = `${report.startedAt} ${kind} ${id}`;
              return { key, at: report.finishedAt, kind, action, id, reason: detail ?? "" };
            }),
          ),
      );
    this.#table.draw(found.slice(0, 20));
  }
}

function stuckRow(): Row<StuckWork> {
  const when = new Moment();
  const [what, reason] = [cell(), h("td", { class: "reason" })];
  const id = h("code", { class: "small" });
  const name = h("span");
  what.append(name, " ", id);
  const draw = (one: StuckWork) => {
    when.draw(one.at);
    text(name, units.facts(w.kinds[one.kind] ?? one.kind, w.actions[one.action] ?? one.action));
    text(id, one.id);
    text(reason, one.reason || w.stuck.unknown);
  };
  return { cells: [h("th", { scope: "row" }, when.element), what, reason], draw };
}
