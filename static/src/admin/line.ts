/** Who waits, in the order in which they will be begun; the order is changed here. */

import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import type { ServerEvent } from "../events";
import * as units from "../units";
import { button, h, icon, say, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { moves } from "./order";
import { videoCell } from "./owners";

const w = words.admin;

export class Line extends Section {
  #jobs: api.Job[] = [];
  #isPaused = false;
  /** The row that is being dragged. */
  #dragged: string | null = null;
  readonly #note = h("p", { class: "muted small" });
  readonly #more = h("p", { class: "muted small", hidden: true });
  readonly #pause: HTMLButtonElement;
  readonly #table = new Table<api.Job>(
    w.line.title,
    [w.line.position, w.video, w.line.since, w.line.priority, w.actions],
    w.line.none,
    (job) => job.id,
    (job, element) => this.#row(job, element),
  );

  constructor(around: Around) {
    super("line", w.line.title, around, 5_000);
    this.#pause = button("pause", w.line.pause, (it) => {
      void this.act(it, () => api.pause(!this.#isPaused));
    });
    this.tools.append(this.#pause);
    this.element.append(this.#note, this.#table.element, this.#more);
  }

  protected async look(): Promise<void> {
    const { items, total } = await api.line();
    // A row that moves under the pointer would be dropped on another.
    if (this.#dragged) return;
    this.#jobs = items;
    this.#table.draw(items);
    const shown = items.filter((job) => job.position !== null).length;
    show(this.#more, total > shown);
    text(this.#more, w.line.more(total - shown));
  }

  /** Hears what the server says of the queue as a whole. */
  learn(queue: api.Status["queue"]): void {
    this.#isPaused = queue.paused ?? false;
    const label = this.#pause.querySelector("span");
    if (label) text(label, this.#isPaused ? w.line.resume : w.line.pause);
    this.#pause.querySelector("svg")?.replaceWith(icon(this.#isPaused ? "play" : "pause"));
    this.#pause.classList.toggle("primary", this.#isPaused);
    const oldest = queue.oldestQueuedSeconds;
    const parts = [w.line.workers(queue.workers)];
    if (this.#isPaused) parts.push(w.line.isPaused);
    if (queue.queued > 0 && oldest) parts.push(w.line.oldest(units.span(oldest)));
    if (queue.queued > 0 && queue.etaSeconds && !this.#isPaused) {
      parts.push(w.line.eta(units.span(queue.etaSeconds)));
    }
    text(this.#note, words.sentences(...parts));
  }

  override hears(event: ServerEvent): boolean {
    return event.type === "queue" || event.type === "video.state";
  }

  #row(first: api.Job, element: HTMLTableRowElement): Row<api.Job> {
    const name = videoCell();
    const since = new Moment();
    const why = h("span", { class: "small muted" });
    const [position, priority] = [h("span"), cell()];
    const handle = h("span", { class: "handle", "aria-hidden": "true" }, icon("grip"));
    const step = (by: number) => this.#move(first.id, (at) => at + by);
    const front = this.action("first", w.line.front, () => this.#move(first.id, () => 0));
    const up = this.action("up", w.line.up, () => step(-1));
    const down = this.action("down", w.line.down, () => step(1));
    const cancel = this.action("close", w.cancel, () => api.cancel(first.videoId));
    const draw = (job: api.Job) => {
      const inLine = job.position !== null;
      element.dataset.job = job.id;
      element.draggable = inLine;
      show(handle, inLine);
      text(position, inLine ? String(job.position) : "–");
      name.draw(job.videoId, job.title, job.owner);
      since.draw(job.createdAt);
      text(priority, String(job.priority));
      const again = job.retryAt && w.line.again(units.ago(job.retryAt));
      text(why, words.sentences(again, job.error?.detail || job.error?.title));
      show(why, why.textContent !== "");
      const at = this.#jobs.findIndex((one) => one.id === job.id);
      const last = this.#jobs.filter((one) => one.position !== null).length - 1;
      for (const [it, said, useful] of [
        [front, w.line.front, inLine && at > 0],
        [up, w.line.up, inLine && at > 0],
        [down, w.line.down, inLine && at < last],
        [cancel, w.cancel, true],
      ] as const) {
        it.setAttribute("aria-label", words.labelled(said, job.title ?? ""));
        it.classList.toggle("off", !useful);
        it.disabled = !useful && document.activeElement !== it;
      }
    };
    this.#makeDraggable(element);
    const whose = name.cell;
    whose.append(why);
    const acts = buttons(front, up, down, cancel);
    const cells = [cell(handle, position), whose, cell(since.element), priority, acts];
    return { cells, draw };
  }

  /** Moves a job to where `place` says, counted among those that are shown. */
  async #move(id: string, place: (at: number) => number): Promise<void> {
    const inLine = this.#jobs.filter((job) => job.position !== null);
    const from = inLine.findIndex((job) => job.id === id);
    const to = Math.min(inLine.length - 1, Math.max(0, place(from)));
    for (const { videoId, priority } of moves(inLine, from, to)) {
      await api.prioritise(videoId, priority);
    }
    say(w.line.moved(inLine[from]?.title ?? "", to + 1));
  }

  #makeDraggable(element: HTMLTableRowElement): void {
    const marked = (mark: boolean) => element.classList.toggle("target", mark);
    element.addEventListener("dragstart", (event) => {
      this.#dragged = element.dataset.job ?? null;
      event.dataTransfer?.setData("text/plain", this.#dragged ?? "");
      if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
    });
    element.addEventListener("dragend", () => {
      this.#dragged = null;
      marked(false);
    });
    element.addEventListener("dragover", (event) => {
      if (!this.#dragged || !element.draggable) return;
      event.preventDefault();
      marked(true);
    });
    element.addEventListener("dragleave", () => marked(false));
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      marked(false);
      const [id, target] = [this.#dragged, element.dataset.job];
      this.#dragged = null;
      const inLine = this.#jobs.filter((job) => job.position !== null);
      const to = inLine.findIndex((job) => job.id === target);
      if (id && to >= 0 && id !== target) void this.act(element, () => this.#move(id, () => to));
    });
  }
}
