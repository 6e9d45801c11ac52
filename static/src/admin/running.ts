/** What is being worked on now: each film with its children. */

import { type Around, Section } from "../board/section";
import { buttons, cell, type Row, Table } from "../board/table";
import type { ServerEvent } from "../events";
import * as units from "../units";
import { h, show, text } from "../view";
import { stageWord, words } from "../words";
import * as api from "./api";
import { videoCell } from "./owners";

const w = words.admin;

export class Running extends Section {
  #jobs: api.Job[] = [];
  readonly #table = new Table<api.Job>(
    w.running.title,
    [w.video, w.step, w.progress, w.speed, w.memory, w.left, w.actions],
    w.running.none,
    (job) => job.id,
    (job) => this.#row(job),
  );

  constructor(around: Around) {
    super("running", w.running.title, around, 3_000);
    this.element.append(this.#table.element);
  }

  protected async look(): Promise<void> {
    this.#jobs = (await api.running()).items;
    this.#table.draw(this.#jobs);
  }

  override hears(event: ServerEvent): boolean {
    if (event.type !== "video.progress") return event.type.startsWith("video.");
    const known = this.#jobs.some((job) => job.videoId === event.videoId);
    if (!known) return true;
    const { stage, progress, speed, etaSeconds, renditions } = event;
    this.#jobs = this.#jobs.map((job) =>
      job.videoId === event.videoId
        ? {
            ...job,
            stage: stage ?? job.stage,
            progress: progress ?? job.progress,
            speed: speed ?? job.speed,
            etaSeconds: etaSeconds ?? null,
            renditions: renditions ?? job.renditions,
          }
        : job,
    );
    this.#table.draw(this.#jobs);
    return false;
  }

  #row(first: api.Job): Row<api.Job> {
    const name = videoCell();
    const step = h("span");
    const rungs = h("span", { class: "rungs small muted" });
    const bar = h("progress", { max: 1 });
    const [share, speed, memory, left] = [h("span"), cell(), cell(), cell()];
    const cancel = this.action("close", w.cancel, () => api.cancel(first.videoId));
    const draw = (job: api.Job) => {
      name.draw(job.videoId, job.title, job.owner);
      const tries = job.attempt > 1 && w.tries(job.attempt);
      text(step, units.facts(job.stage ? stageWord(job.stage) : w.running.starting, tries));
      const under = job.renditions.map((one) => `${one.name} ${units.share(one.progress)}`);
      text(rungs, units.facts(...under));
      bar.value = job.progress ?? 0;
      bar.setAttribute("aria-label", words.upload.progressOf(job.title ?? ""));
      text(share, units.share(job.progress ?? 0));
      text(speed, job.speed ? w.speedOf(units.number(job.speed, 1)) : "–");
      const size = job.memoryBytes > 0 ? units.size(job.memoryBytes) : "–";
      text(memory, job.children > 1 ? w.running.shared(size, job.children) : size);
      const behind = job.behindSeconds;
      const rest = job.etaSeconds ? units.span(job.etaSeconds) : "–";
      text(left, behind === null ? rest : w.behind(units.span(behind)));
      cancel.setAttribute("aria-label", words.labelled(w.cancel, job.title ?? ""));
      show(rungs, under.length > 0);
    };
    const progress = h("td", { class: "job-progress" }, bar, share);
    const cells = [name.cell, cell(step, rungs), progress, speed, memory, left, buttons(cancel)];
    return { cells, draw };
  }
}
