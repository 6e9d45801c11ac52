/** What is above the rows: how far all files are, and what can be done with all of them. */

import type * as api from "./api";
import { hasArrived, isAtHand, open, type Item, type Phase } from "./item";
import { Fields } from "./more";
import type { Queue } from "./queue";
import * as units from "./units";
import { button, h, say, show, text } from "./view";
import { words } from "./words";

const w = words.upload;

/** Progress is said aloud at these steps only. */
const SAID_PERCENT = [25, 50, 75];

/** How far all files are together. */
export interface Sum {
  total: number;
  sent: number;
  speed: number;
  files: number;
  done: number;
}

/** Adds up what is on its way or has arrived. */
export function sumOf(items: readonly Item[]): Sum {
  const sum = { total: 0, sent: 0, speed: 0, files: 0, done: 0 };
  for (const item of items) {
    const arrived = hasArrived(item);
    if (item.phase === "unfinished" || (item.phase === "failed" && !arrived)) continue;
    sum.total += item.size;
    sum.sent += item.sent;
    sum.speed += item.bytesPerSecond;
    sum.files += 1;
    if (arrived) sum.done += 1;
  }
  return sum;
}

export class Overall {
  readonly element = h("section", { class: "overall", "aria-label": w.all, hidden: true });
  #bar = h("progress", { max: 1, value: 0, "aria-label": w.all });
  #text = h("span", { class: "overall-text" });
  #speed = h("span", { class: "muted" });
  #buttons: Record<string, HTMLButtonElement>;
  #sure = h("div", { class: "sure", role: "group", "aria-label": w.cancelAll, hidden: true });
  #form = h("form", { class: "fields", "aria-label": w.detailsAll, hidden: true });
  #fields = new Fields(true);
  #saved = h("p", { class: "small muted", role: "status" });
  #said = 0;

  /** `forLater` takes what files that are yet to come are to get. */
  constructor(
    private readonly queue: Queue,
    private readonly forLater: (details: api.Details) => void,
  ) {
    const quiet = { class: "button quiet" };
    this.#buttons = {
      pause: button("pause", w.pauseAll, () => queue.pauseAll()),
      resume: button("play", w.resumeAll, () => void queue.resumeAll()),
      retry: button("retry", w.retryAll, () => queue.retryAll()),
      details: button("pencil", w.detailsAll, () => this.#toggleForm(), {
        ...quiet,
        "aria-expanded": "false",
      }),
      cancel: button("close", w.cancelAll, () => this.#ask(true), quiet),
      clear: button("check", w.clear, () => queue.clearFinished(), quiet),
    };
    const yes = button("close", w.cancelAllYes, () => void this.#cancel(), {
      class: "button danger",
    });
    const no = button(null, w.cancelAllNo, () => this.#ask(false));
    this.#sure.append(h("p", {}, w.cancelAllSure), h("div", { class: "actions" }, yes, no));
    this.#form.append(
      h("p", { class: "small muted wide" }, w.detailsAllLead),
      ...this.#fields.labels,
      h(
        "div",
        { class: "actions wide" },
        h("button", { type: "submit", class: "button primary" }, w.saveAll),
        this.#saved,
      ),
    );
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
    this.element.append(
      h("div", { class: "overall-line" }, this.#text, this.#speed),
      this.#bar,
      h("div", { class: "actions" }, ...Object.values(this.#buttons)),
      this.#sure,
      this.#form,
    );
  }

  draw(items: readonly Item[], sum: Sum): void {
    const { total, sent, speed, files, done } = sum;
    const share = total > 0 ? sent / total : 0;
    const all = files > 0 && done === files;
    const some = (phases: readonly Phase[]) => items.some(({ phase }) => phases.includes(phase));
    show(this.element, items.length > 0);
    show(this.#bar, files > 0);
    this.#bar.value = share;
    text(this.#text, all ? w.overallDone(done) : files > 0 ? w.overall(done, files) : "");
    const left = w.left(units.span((total - sent) / speed));
    const pace = speed > 0 ? [units.rate(speed), left] : [];
    const facts = units.facts(files > 0 && units.share(share), ...pace);
    text(this.#speed, all ? units.size(total) : facts);
    const b = this.#buttons;
    const wanted: Record<string, boolean> = {
      pause: some(["waiting", "checking", "uploading", "retrying"]),
      resume: some(["paused"]) || items.some(isAtHand),
      retry: items.filter(({ phase, retryable }) => phase === "failed" && retryable).length > 1,
      cancel: some(open) && this.#sure.hidden === true,
      clear: some(["ready"]),
    };
    for (const [name, visible] of Object.entries(wanted)) {
      const one = b[name];
      if (one) show(one, visible);
    }
    if (!some(open)) show(this.#sure, false);
    this.#sayProgress(units.percent(share), all);
  }

  #sayProgress(percent: number, all: boolean): void {
    if (all || percent < this.#said) this.#said = 0;
    const step = SAID_PERCENT.findLast((one) => percent >= one) ?? 0;
    if (all || step <= this.#said) return;
    this.#said = step;
    say(words.say.overall(step));
  }

  /** Asks in its place before everything is given up; the focus goes to what keeps things. */
  #ask(isAsked: boolean): void {
    show(this.#sure, isAsked);
    const { cancel } = this.#buttons;
    if (cancel) show(cancel, !isAsked);
    if (isAsked) this.#sure.querySelector<HTMLElement>("button:last-of-type")?.focus();
    else cancel?.focus();
  }

  async #cancel(): Promise<void> {
    // The question goes with the last of the files, and the focus in it to what is left.
    await this.queue.cancelAll();
  }

  #toggleForm(): void {
    const isOpen = this.#form.hidden === true;
    show(this.#form, isOpen);
    this.#buttons.details?.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.#fields.description.focus();
  }

  async #save(): Promise<void> {
    const details = this.#fields.changes({});
    this.forLater(details);
    text(this.#saved, "");
    const problems = await Promise.all(
      this.queue.items.map((item) =>
        this.queue.describe(item, details).then(
          () => 0,
          () => 1,
        ),
      ),
    );
    const failed = problems.reduce<number>((sum, one) => sum + one, 0);
    text(this.#saved, failed > 0 ? w.notSaved(failed) : w.saved);
  }
}
