/** The first thing that one sees: whether all is well, what isn't, and what to do about it. */

import * as units from "../units";
import { h, icon, show, text } from "../view";
import { words } from "../words";
import type { Status } from "./api";
import type { Finding } from "./health";
import type { Line } from "./live";

const w = words.admin;

export class Headline {
  readonly element: HTMLElement;
  readonly #mark = h("span", { class: "health-mark" });
  readonly #title = h("h2", {}, w.loading);
  readonly #line = h("p", { class: "muted small" });
  readonly #list = h("ul", { class: "health-list" });
  readonly #glance = h("ul", { class: "glance" });
  #said = "";

  constructor() {
    const words = h(
      "div",
      { class: "health-words" },
      h("div", { role: "status" }, this.#title),
      this.#line,
    );
    const verdict = h("div", { class: "health-verdict" }, this.#mark, words);
    this.element = h(
      "section",
      { class: "card wide health", "aria-label": w.health.label },
      verdict,
      this.#list,
      this.#glance,
    );
  }

  /** Shows what was found; `isKnown` says whether the server has answered at all. */
  judge(findings: Finding[], isKnown: boolean): void {
    if (!isKnown && findings.length === 0) return;
    const said = JSON.stringify(findings);
    if (said === this.#said) return;
    this.#said = said;
    const level = findings[0]?.level ?? "good";
    this.element.dataset.level = level;
    this.#mark.replaceChildren(icon(level === "good" ? "check" : "alert"));
    const [first] = findings;
    const many = findings.length > 1 ? w.health.many(findings.length) : "";
    text(this.#title, first ? many || first.title : w.health.good);
    show(this.#list, findings.length > 0);
    this.#list.replaceChildren(
      ...findings.map(({ level: its, title, remedy, where }) =>
        h(
          "li",
          { "data-level": its },
          findings.length > 1 ? h("strong", {}, title) : null,
          h("span", {}, remedy),
          where ? h("a", { href: `#${where}` }, w.health.show) : null,
        ),
      ),
    );
  }

  /** Says how the page hears of news, and how long the server runs. */
  line(line: Line, status: Status | null): void {
    const up = status && w.health.up(units.span(status.uptimeSeconds));
    text(this.#line, units.facts(up, w.lines[line]));
    this.element.dataset.line = line;
  }

  glance(status: Status): void {
    const { queue, uploads, disk } = status;
    const entries: [string, string, string][] = [
      ["running", w.running.title, units.number(queue.running, 0)],
      ["line", w.line.title, units.number(queue.queued, 0)],
      ["uploads", w.uploads.title, units.number(uploads.open, 0)],
      ["failures", w.failures.lately, units.number(queue.failed, 0)],
      ["charts", w.done, units.number(queue.doneLastHour, 0)],
      ["disk", w.disk.free, units.size(disk.freeBytes)],
    ];
    if (this.#glance.children.length === 0) {
      this.#glance.append(
        ...entries.map(([where, name]) =>
          h("li", {}, h("a", { href: `#${where}` }, h("strong"), h("span", {}, name))),
        ),
      );
    }
    entries.forEach(([, , value], index) => {
      const number = this.#glance.children[index]?.querySelector("strong");
      if (number) text(number, value);
    });
  }
}
