/** `<slipway-upload>`: the upload page's view. It draws the queue and hands over what is done. */

import * as api from "./api";
import { editDetails } from "./details";
import { fromDrop, fromList, holdsFiles } from "./files";
import type { Item, Phase } from "./item";
import { shareOf } from "./progress";
import { Queue } from "./queue";
import * as resume from "./resume";
import * as units from "./units";
import { button, copy, h, icon, loginPath, notice, poster, say, show, text } from "./view";
import { watchPath, watchUrl } from "./view";
import { stageWord, words } from "./words";

const w = words.upload;

/** Overall progress is said aloud at these steps only. */
const SAID_PERCENT = [25, 50, 75];

export class SlipwayUpload extends HTMLElement {
  #queue = new Queue();
  #rows = new Map<number, Row>();
  #dirty = new Set<Item>();
  #frame = 0;
  #said = 0;
  #title = document.title;
  #wake: WakeLockSentinel | null = null;

  readonly #input = h("input", {
    type: "file",
    multiple: true,
    class: "unseen",
    tabindex: -1,
    "aria-label": w.chooser,
  });
  readonly #lead = h("h1", {}, w.lead);
  readonly #hint = h("p", { class: "hint" });
  readonly #zone = h("section", { class: "zone", "aria-label": w.title });
  readonly #list = h("ul", { class: "rows", "aria-label": w.list });
  readonly #overallBar = h("progress", { max: 1, value: 0, "aria-label": w.all });
  readonly #overallText = h("span", { class: "overall-text" });
  readonly #overallSpeed = h("span", { class: "muted" });
  readonly #pauseAll = button("pause", w.pauseAll, () => this.#queue.pauseAll());
  readonly #resumeAll = button("play", w.resumeAll, () => this.#queue.resumeAll());
  readonly #clear = button("check", w.clear, () => this.#queue.clearFinished(), {
    class: "button quiet",
  });
  readonly #panel = h("section", { class: "overall", "aria-label": w.all, hidden: true });

  connectedCallback(): void {
    this.#panel.append(
      h("div", { class: "overall-line" }, this.#overallText, this.#overallSpeed),
      this.#overallBar,
      h("div", { class: "actions" }, this.#pauseAll, this.#resumeAll, this.#clear),
    );
    const browse = button("upload", w.browse, () => this.#input.click(), {
      class: "button primary large",
    });
    this.#zone.append(
      h("span", { class: "zone-icon" }, icon("upload")),
      this.#lead,
      this.#hint,
      browse,
      this.#input,
      h("p", { class: "muted small" }, w.safe),
    );
    this.replaceChildren(this.#zone, this.#panel, this.#list);
    this.#input.addEventListener("change", () => {
      this.#take(fromList(this.#input.files));
      this.#input.value = "";
    });
    this.#queue.onChange((item) => this.#changed(item));
    this.#listen();
    void this.#begin();
  }

  async #begin(): Promise<void> {
    try {
      const session = await api.session();
      if (session.role === "viewer") {
        this.replaceChildren(notice("alert", w.viewer, w.viewerDetail));
        return;
      }
      this.#queue.setLimits(session.limits);
      text(this.#hint, w.hint(units.size(session.limits.maxSize)));
      await this.#queue.loadUnfinished();
    } catch {
      // The list of unfinished uploads is a comfort; new files can be taken without it.
    }
  }

  #take(given: { file: File; handle: resume.Handle | null }[]): void {
    if (given.length === 0) return;
    this.#queue.add(given);
    say(words.say.added(given.length));
  }

  #listen(): void {
    let depth = 0;
    const touch = matchMedia("(pointer: coarse)").matches;
    const mark = (on: boolean) => {
      this.#zone.classList.toggle("over", on);
      text(this.#lead, on ? w.drop : touch ? w.leadTouch : w.lead);
    };
    mark(false);
    window.addEventListener("dragenter", (event) => {
      if (!holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      depth += 1;
      mark(true);
    });
    window.addEventListener("dragleave", (event) => {
      if (!holdsFiles(event.dataTransfer)) return;
      depth = Math.max(0, depth - 1);
      mark(depth > 0);
    });
    window.addEventListener("dragover", (event) => {
      if (!holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
    });
    window.addEventListener("drop", (event) => {
      if (!event.dataTransfer || !holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      depth = 0;
      mark(false);
      void fromDrop(event.dataTransfer).then((given) => this.#take(given));
    });
    window.addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) this.#take(fromList(event.clipboardData.files));
    });
    window.addEventListener("beforeunload", (event) => {
      if (this.#queue.moving) event.preventDefault();
    });
  }

  /** Collects changes and draws them once a frame: progress comes faster than eyes. */
  #changed(item: Item | null): void {
    if (item) this.#dirty.add(item);
    else this.#arrange();
    // A hidden tab draws no frames, yet its title should go on counting.
    if (document.visibilityState === "hidden") this.#draw();
    else this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #arrange(): void {
    const keys = new Set(this.#queue.items.map((item) => item.key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      const refocus = row.element.contains(document.activeElement);
      const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
      row.element.remove();
      this.#rows.delete(key);
      // Focus must not fall back to the top of the page when its row goes.
      if (refocus) {
        const target = next?.querySelector<HTMLElement>("button:not([hidden]), a:not([hidden])");
        (target ?? this.#zone.querySelector("button"))?.focus();
      }
    }
    for (const item of this.#queue.items) {
      this.#dirty.add(item);
      if (this.#rows.has(item.key)) continue;
      const row = new Row(item, this.#queue);
      this.#rows.set(item.key, row);
      this.#list.append(row.element);
    }
    this.#zone.classList.toggle("compact", this.#queue.items.length > 0);
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const item of this.#dirty) this.#rows.get(item.key)?.draw();
    this.#dirty.clear();
    this.#drawOverall();
    void this.#stayAwake();
  }

  #drawOverall(): void {
    const counted = this.#queue.items.filter(
      (item) => item.phase !== "unfinished" && (item.phase !== "failed" || hasArrived(item)),
    );
    const total = counted.reduce((sum, item) => sum + item.size, 0);
    const sent = counted.reduce((sum, item) => sum + item.sent, 0);
    const speed = counted.reduce((sum, item) => sum + item.bytesPerSecond, 0);
    const done = counted.filter(hasArrived).length;
    const share = total > 0 ? sent / total : 0;
    const all = counted.length > 0 && done === counted.length;
    show(this.#panel, counted.length > 0);
    this.#overallBar.value = share;
    text(this.#overallText, all ? w.overallDone(done) : w.overall(done, counted.length));
    const parts = [units.share(share)];
    if (speed > 0) parts.push(units.rate(speed), w.left(units.span((total - sent) / speed)));
    text(this.#overallSpeed, all ? units.size(total) : parts.join(" · "));
    const some = (phases: Phase[]) => counted.some((item) => phases.includes(item.phase));
    show(this.#pauseAll, some(["waiting", "checking", "uploading", "retrying"]));
    show(this.#resumeAll, some(["paused"]));
    show(this.#clear, some(["ready"]));
    document.title =
      all || counted.length === 0 ? this.#title : `${units.share(share)} · ${this.#title}`;
    this.#sayOverall(units.percent(share), all);
  }

  #sayOverall(percent: number, all: boolean): void {
    if (all || percent < this.#said) this.#said = 0;
    const step = SAID_PERCENT.findLast((one) => percent >= one) ?? 0;
    if (all || step <= this.#said) return;
    this.#said = step;
    say(words.say.overall(step));
  }

  /** Keeps the screen on while bytes move: a phone that sleeps stops uploading. */
  async #stayAwake(): Promise<void> {
    const wanted = this.#queue.moving && document.visibilityState === "visible";
    if (wanted === (this.#wake !== null) || !("wakeLock" in navigator)) return;
    try {
      if (!wanted) {
        const held = this.#wake;
        this.#wake = null;
        await held?.release();
        return;
      }
      const held = await navigator.wakeLock.request("screen");
      this.#wake = held;
      held.addEventListener("release", () => {
        if (this.#wake === held) this.#wake = null;
      });
    } catch {
      // Low battery or a policy: the upload goes on as long as the device does.
    }
  }
}

/** All bytes are with the server; what it then made of them is another matter. */
function hasArrived({ phase, video }: Item): boolean {
  return phase === "processing" || phase === "ready" || video?.state === "failed";
}

/** One file's line. It keeps its elements and changes only what differs, so focus stays. */
class Row {
  readonly element = h("li", { class: "row" });
  #poster = poster(null);
  #posterUrl: string | null = null;
  #name = h("h2", { class: "row-name" });
  #phase = h("span", { class: "row-phase" });
  #facts = h("span", { class: "row-facts muted" });
  #problem = h("p", { class: "row-problem", hidden: true });
  #bar = h("progress", { max: 1, value: 0 });
  #input = h("input", { type: "file", class: "unseen", tabindex: -1 });
  #buttons: Record<string, HTMLButtonElement>;
  #watch = h("a", { class: "button primary", hidden: true }, icon("play"), w.watch);
  #login = h("a", { class: "button primary", href: loginPath(), hidden: true }, w.login);
  #lastPhase: Phase | null = null;
  #ticking = 0;

  constructor(
    private readonly item: Item,
    private readonly queue: Queue,
  ) {
    const make = (
      name: Parameters<typeof button>[0],
      said: string,
      action: (button: HTMLButtonElement) => void,
      props = {},
    ) => button(name, said, action, { "aria-label": w.labelled(said, item.name), ...props });
    const remove = () => void queue.remove(item);
    this.#buttons = {
      goOn: make("play", w.goOn, () => void this.#goOn(), { class: "button primary" }),
      choose: make("file", w.choose, () => this.#input.click()),
      pause: make("pause", w.pause, () => queue.pause(item)),
      resume: make("play", w.resume, () => queue.resume(item)),
      now: make("retry", w.retry, () => queue.resume(item)),
      retry: make("retry", w.retry, () => void queue.retry(item)),
      copy: make("link", w.copy, (it) => item.videoId && void copy(watchUrl(item.videoId), it)),
      edit: make("pencil", w.edit, () => void this.#edit()),
      cancel: make("close", w.cancel, remove),
      discard: make("trash", w.discard, remove),
      remove: make("close", w.remove, remove),
    };
    text(this.#name, item.name);
    this.#bar.setAttribute("aria-label", w.progressOf(item.name));
    this.#input.setAttribute("aria-label", w.labelled(w.choose, item.name));
    this.#input.addEventListener("change", () => {
      const file = this.#input.files?.[0];
      this.#input.value = "";
      if (file) queue.give(item, file, null);
    });
    this.element.append(
      this.#poster,
      h(
        "div",
        { class: "row-body" },
        this.#name,
        h("div", { class: "row-line" }, this.#phase, this.#facts),
        this.#bar,
        this.#problem,
        h(
          "div",
          { class: "actions" },
          this.#watch,
          this.#login,
          ...Object.values(this.#buttons),
          this.#input,
        ),
      ),
    );
  }

  draw(): void {
    const { item } = this;
    this.element.dataset.phase = item.phase;
    text(this.#name, item.video?.title || item.name);
    text(this.#phase, this.#phaseWords());
    text(this.#facts, this.#factWords());
    this.#drawBar();
    this.#drawProblem();
    this.#drawPoster();
    this.#drawButtons();
    if (item.phase !== this.#lastPhase) this.#announce(this.#lastPhase);
    this.#lastPhase = item.phase;
    // The countdown to the next try moves without any event.
    window.clearInterval(this.#ticking);
    if (item.phase === "retrying") {
      this.#ticking = window.setInterval(() => text(this.#facts, this.#factWords()), 1_000);
    }
  }

  #phaseWords(): string {
    const { item } = this;
    if (item.phase !== "processing") return words.phase[item.phase];
    const processing = item.video?.processing;
    const position = processing?.queuePosition;
    if (!item.video || item.video.state === "queued") {
      return position ? words.queuedAt(position) : words.queued;
    }
    const stage = processing?.stages.find((one) => one.state === "running");
    return stage ? stageWord(stage.name) : words.phase.processing;
  }

  #factWords(): string {
    const { item } = this;
    const size = units.size(item.size);
    const sent = units.size(item.sent);
    switch (item.phase) {
      case "uploading": {
        const facts = [w.of(sent, size)];
        if (item.bytesPerSecond > 0) {
          facts.push(units.rate(item.bytesPerSecond));
          facts.push(w.left(units.span((item.size - item.sent) / item.bytesPerSecond)));
        }
        if (item.video?.playable) facts.push(words.playable);
        return facts.join(" · ");
      }
      case "paused":
        return w.of(sent, size);
      case "retrying": {
        const wait = Math.ceil(((item.retryAt ?? 0) - Date.now()) / 1000);
        const next = wait > 0 ? w.retryIn(units.countdown(wait)) : w.retryNow;
        return `${w.of(sent, size)} · ${next}`;
      }
      case "unfinished":
        return (item.handle ? w.oneClick : w.needsFile)(sent, size);
      case "processing":
        return this.#processingFacts(size);
      case "ready": {
        const seconds = item.video?.source?.duration ?? item.video?.duration;
        return seconds ? `${units.clock(seconds)} · ${size}` : size;
      }
      default:
        return size;
    }
  }

  #processingFacts(size: string): string {
    const { video } = this.item;
    const share = shareOf(video?.processing);
    const facts = share > 0 ? [units.share(share)] : [];
    const eta = video?.processing?.etaSeconds;
    if (eta) facts.push(w.left(units.span(eta)));
    if (video?.playable) facts.push(words.playable);
    return facts.length > 0 ? facts.join(" · ") : size;
  }

  #drawBar(): void {
    const { item } = this;
    show(this.#bar, item.phase !== "ready" && item.phase !== "failed");
    const processing = item.phase === "processing";
    const share = processing
      ? shareOf(item.video?.processing)
      : item.size > 0
        ? item.sent / item.size
        : 0;
    const unknown =
      item.phase === "finishing" || item.phase === "checking" || (processing && share === 0);
    if (unknown) this.#bar.removeAttribute("value");
    else if (this.#bar.value !== share || !this.#bar.hasAttribute("value")) this.#bar.value = share;
  }

  #drawProblem(): void {
    const { problem, phase } = this.item;
    show(this.#problem, problem !== null);
    if (!problem) return;
    text(
      this.#problem,
      problem.detail ? `${problem.title}. ${problem.detail}`.replace("..", ".") : problem.title,
    );
    this.#problem.dataset.kind = phase === "retrying" ? "passing" : "blocking";
  }

  #drawPoster(): void {
    const url = this.item.video?.playback?.poster ?? null;
    if (url === this.#posterUrl) return;
    this.#posterUrl = url;
    const drawn = poster(url);
    this.#poster.replaceWith(drawn);
    this.#poster = drawn;
  }

  #drawButtons(): void {
    const { item } = this;
    const { phase } = item;
    const on = (phases: Phase[]) => phases.includes(phase);
    const b = this.#buttons;
    const active = this.element.contains(document.activeElement) ? document.activeElement : null;
    const wanted: Record<string, boolean> = {
      goOn: phase === "unfinished" && item.handle !== null,
      choose: phase === "unfinished",
      pause: on(["waiting", "checking", "uploading", "retrying"]),
      resume: phase === "paused" && !item.loginNeeded,
      now: phase === "retrying",
      retry: phase === "failed" && item.retryable,
      copy: on(["processing", "ready"]) && item.videoId !== null,
      edit: on(["processing", "ready"]) && item.videoId !== null,
      cancel: on(["waiting", "checking", "uploading", "retrying", "paused"]),
      discard: phase === "unfinished",
      remove: on(["ready", "failed"]),
    };
    for (const [name, visible] of Object.entries(wanted)) {
      const one = b[name];
      if (one) show(one, visible);
    }
    show(this.#login, item.loginNeeded && phase === "paused");
    const playable = item.videoId !== null && (phase === "ready" || item.video?.playable === true);
    if (playable && item.videoId) this.#watch.href = watchPath(item.videoId);
    this.#watch.setAttribute("aria-label", w.labelled(w.watch, item.name));
    show(this.#watch, playable && phase !== "failed");
    // Pause and resume take each other's place; the keyboard should stay there.
    if (active instanceof HTMLElement && active.hidden) {
      this.element.querySelector<HTMLElement>(".actions > :not([hidden]):not(input)")?.focus();
    }
  }

  #announce(before: Phase | null): void {
    const { item } = this;
    if (item.phase === "processing" && before !== "failed") say(words.say.uploaded(item.name));
    if (item.phase === "ready") say(words.say.ready(item.name));
    if (item.phase === "failed") say(words.say.failed(item.name, item.problem?.title ?? ""));
  }

  async #goOn(): Promise<void> {
    const { item } = this;
    const file = item.handle ? await resume.open(item.handle) : null;
    if (file) this.queue.give(item, file, item.handle);
    else this.#input.click();
  }

  async #edit(): Promise<void> {
    const { item } = this;
    if (!item.videoId) return;
    const video = item.video ?? (await api.video(item.videoId));
    const saved = await editDetails(video);
    if (saved) this.queue.learn(item, saved);
  }
}
