/** `<slipway-admin>`: how the server does, for the person who runs it. */

import * as api from "./api";
import { Events } from "./events";
import * as units from "./units";
import { button, h, icon, problemNotice, show, text } from "./view";
import { watchPath } from "./view";
import { stageWord, words } from "./words";

const w = words.admin;
const POLL_MS = 5_000;
/** After an event a look is due soon, but a burst of events asks only once. */
const SOON_MS = 400;
/** Every layer there is, in the order in which they are explained. */
const LAYERS = ["landlock", "seccomp", "nonewprivs", "rlimits"];

export class SlipwayAdmin extends HTMLElement {
  #timer = 0;
  #looking = false;
  #drawn = false;
  readonly #stale = h("p", { class: "banner", role: "status", hidden: true }, w.stale);
  readonly #warnings = h("section", {
    class: "banner warn",
    "aria-label": w.warnings,
    hidden: true,
  });
  readonly #numbers = h("dl", { class: "numbers" });
  readonly #queueNote = h("p", { class: "muted small" });
  readonly #jobs = h("tbody");
  readonly #jobsBox = h("div", {
    class: "table-box",
    tabindex: 0,
    role: "region",
    "aria-label": w.jobs,
  });
  readonly #noJobs = h("p", { class: "muted" }, w.noJobs);
  readonly #diskBar = h("meter", { min: 0, max: 1, "aria-label": w.diskLabel });
  readonly #diskText = h("p", { class: "big" });
  readonly #diskNote = h("p", { class: "muted small" });
  readonly #uploads = h("p", { class: "big" });
  readonly #uploadsNote = h("p", { class: "muted small" });
  readonly #sandbox = h("ul", { class: "layers" });
  readonly #sandboxNote = h("p", { class: "muted small" });
  readonly #about = h("dl", { class: "about" });

  connectedCallback(): void {
    this.replaceChildren(
      h("div", { class: "page-head" }, h("h1", {}, w.title)),
      h("p", { class: "muted", role: "status" }, w.loading),
    );
    void this.#look();
    new Events({
      onEvent: () => this.#lookIn(SOON_MS),
      onOpen: () => this.#lookIn(0),
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#lookIn(0);
    });
  }

  #lookIn(ms: number): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const status = await api.adminStatus();
      if (!this.#drawn) this.#arrange();
      show(this.#stale, false);
      this.#draw(status);
    } catch (problem) {
      if (this.#drawn) show(this.#stale, true);
      else this.replaceChildren(problemNotice(problem, () => void this.#look()));
    } finally {
      this.#looking = false;
      if (document.visibilityState === "visible") this.#lookIn(POLL_MS);
    }
  }

  #arrange(): void {
    this.#drawn = true;
    const heads = [w.video, w.step, w.progress, w.speed, w.left, w.attempt];
    this.#jobsBox.replaceChildren(
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)), h("td")),
        ),
        this.#jobs,
      ),
    );
    const card = (title: string, ...inside: Node[]) =>
      h("section", { class: "card", "aria-label": title }, h("h2", {}, title), ...inside);
    this.replaceChildren(
      h("div", { class: "page-head" }, h("h1", {}, w.title)),
      this.#stale,
      this.#warnings,
      h(
        "div",
        { class: "board" },
        h(
          "section",
          { class: "card wide", "aria-label": w.queue },
          h("h2", {}, w.queue),
          this.#numbers,
          this.#queueNote,
        ),
        h(
          "section",
          { class: "card wide", "aria-label": w.jobs },
          h("h2", {}, w.jobs),
          this.#jobsBox,
          this.#noJobs,
        ),
        card(w.disk, this.#diskText, this.#diskBar, this.#diskNote),
        card(w.uploads, this.#uploads, this.#uploadsNote),
        card(w.sandbox, this.#sandbox, this.#sandboxNote),
        card(w.about, this.#about),
      ),
    );
  }

  #draw(status: api.AdminStatus): void {
    this.#drawWarnings(status);
    this.#drawQueue(status.queue);
    this.#drawJobs(status.jobs);
    this.#drawDisk(status.disk);
    text(this.#uploads, status.uploads.open > 0 ? w.open(status.uploads.open) : w.noOpen);
    const received = status.uploads.receivingBytes;
    text(this.#uploadsNote, status.uploads.open > 0 ? w.receiving(units.size(received)) : "");
    this.#drawSandbox(status.sandbox);
    pairs(this.#about, [
      [w.version, status.version],
      [w.ffmpeg, status.ffmpeg],
      [w.up, units.span(status.uptimeSeconds)],
    ]);
  }

  #drawWarnings({ warnings }: api.AdminStatus): void {
    show(this.#warnings, warnings.length > 0);
    const said = warnings.map((one) =>
      typeof one === "string" ? one : (one.detail ?? one.title ?? one.code ?? ""),
    );
    if (this.#warnings.dataset.said === said.join("\n")) return;
    this.#warnings.dataset.said = said.join("\n");
    this.#warnings.replaceChildren(
      icon("alert"),
      h("ul", {}, ...said.map((one) => h("li", {}, one))),
    );
  }

  #drawQueue(queue: api.QueueNumbers): void {
    pairs(this.#numbers, [
      [w.running, String(queue.running)],
      [w.queued, String(queue.queued)],
      [w.done, String(queue.doneLastHour)],
      [w.failed, String(queue.failed)],
    ]);
    const oldest = queue.oldestQueuedSeconds;
    const waits = queue.queued > 0 && oldest ? w.oldest(units.span(oldest)) : w.idle;
    text(this.#queueNote, `${w.workers(queue.workers)} · ${waits}`);
  }

  #drawJobs(jobs: api.JobRow[]): void {
    show(this.#noJobs, jobs.length === 0);
    show(this.#jobsBox, jobs.length > 0);
    const rows = new Map([...this.#jobs.rows].map((row) => [row.dataset.job, row]));
    let before: Element | null = this.#jobs.firstElementChild;
    for (const job of jobs) {
      const row = rows.get(job.id) ?? h("tr", { "data-job": job.id });
      rows.delete(job.id);
      drawJob(row, job, () => this.#lookIn(0));
      if (row === before) before = before.nextElementSibling;
      else this.#jobs.insertBefore(row, before);
    }
    for (const gone of rows.values()) gone.remove();
  }

  #drawDisk(disk: api.AdminStatus["disk"]): void {
    const share = disk.totalBytes > 0 ? 1 - disk.freeBytes / disk.totalBytes : 0;
    const limit = disk.totalBytes > 0 ? 1 - disk.reserveBytes / disk.totalBytes : 1;
    this.#diskBar.high = Math.max(0.5, limit);
    this.#diskBar.value = share;
    text(this.#diskText, w.diskOf(units.size(disk.freeBytes), units.size(disk.totalBytes)));
    const low = disk.freeBytes <= disk.reserveBytes;
    this.#diskNote.classList.toggle("bad", low);
    const reserve = w.diskReserve(units.size(disk.reserveBytes));
    // It isn't known in the first moments of a server.
    const parts = [reserve];
    if (disk.usedBytes !== null) parts.unshift(w.diskUsed(units.size(disk.usedBytes)));
    text(this.#diskNote, low ? w.diskLow : parts.join(" · "));
  }

  #drawSandbox(sandbox: api.AdminStatus["sandbox"]): void {
    const on = new Set(sandbox.layers.map((layer) => layer.toLowerCase().replaceAll(/[_-]/g, "")));
    this.#sandbox.replaceChildren(
      ...LAYERS.map((layer) =>
        h(
          "li",
          { "data-on": on.has(layer) ? "yes" : "no" },
          icon(on.has(layer) ? "check" : "alert"),
          h("span", {}, w.layers[layer] ?? layer),
          h("strong", {}, on.has(layer) ? w.on : w.off),
        ),
      ),
    );
    const weak = LAYERS.some((layer) => !on.has(layer));
    this.#sandboxNote.classList.toggle("bad", weak);
    const detail = sandbox.detail ? ` ${sandbox.detail}` : "";
    text(this.#sandboxNote, (weak ? w.sandboxWeak : w.sandboxOn) + detail);
  }
}

/** Fills a `<dl>`, leaving what is already right alone. */
function pairs(list: HTMLDListElement, entries: [string, string][]): void {
  while (list.children.length < entries.length) list.append(h("div", {}, h("dt"), h("dd")));
  entries.forEach(([name, value], index) => {
    const [dt, dd] = list.children[index]?.children ?? [];
    if (dt) text(dt, name);
    if (dd) text(dd, value);
  });
}

function drawJob(row: HTMLTableRowElement, job: api.JobRow, changed: () => void): void {
  if (row.cells.length === 0) {
    const bar = h("progress", { max: 1, "aria-label": w.progress });
    const act = (does: () => Promise<void>) => void does().then(changed, changed);
    row.append(
      h("th", { scope: "row" }, h("a", { href: watchPath(job.videoId) })),
      h("td"),
      h("td", { class: "job-progress" }, bar, h("span")),
      h("td"),
      h("td"),
      h("td"),
      h(
        "td",
        {},
        button("close", w.cancel, () => act(() => api.cancelProcessing(job.videoId)), {
          class: "button quiet small",
        }),
        button("retry", w.retry, () => act(() => api.retryProcessing(job.videoId)), {
          class: "button quiet small",
        }),
      ),
    );
  }
  const [name, step, progress, speed, left, attempt, acts] = row.cells;
  const link = name?.querySelector("a");
  if (link) text(link, job.title || job.videoId);
  const state = w.jobState[job.state] ?? job.state;
  const error = typeof job.error === "string" ? job.error : (job.error?.title ?? "");
  const running = job.state === "running";
  if (step) text(step, error || (running && job.stage ? stageWord(job.stage) : state));
  row.dataset.state = job.state;
  const share = job.progress ?? 0;
  const bar = progress?.querySelector("progress");
  if (bar) {
    show(bar, running);
    bar.value = share;
  }
  const number = progress?.querySelector("span");
  if (number) text(number, running ? units.share(share) : "–");
  if (speed) text(speed, running && job.speed ? `${units.number(job.speed, 1)}×` : "–");
  const behind = running && job.behindSeconds != null;
  const rest = running && job.etaSeconds ? units.span(job.etaSeconds) : "–";
  if (left) text(left, behind ? w.behind(units.span(job.behindSeconds ?? 0)) : rest);
  if (attempt) text(attempt, job.attempt ? String(job.attempt) : "–");
  const [cancel, retry] = acts?.querySelectorAll("button") ?? [];
  if (cancel) {
    show(cancel, running || job.state === "queued");
    cancel.setAttribute("aria-label", words.upload.labelled(w.cancel, job.title ?? ""));
  }
  if (retry) {
    const hopeless = typeof job.error === "object" && job.error?.retryable === false;
    show(retry, job.state === "failed" && !hopeless);
    retry.setAttribute("aria-label", words.upload.labelled(w.retry, job.title ?? ""));
  }
}
