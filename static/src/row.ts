/** One file's line. It keeps its elements and changes only what differs, so that focus stays. */

import { door } from "./door";
import { provide } from "./elements";
import { isAtHand, type Item, type Phase } from "./item";
import { More } from "./more";
import { shareOf } from "./progress";
import type { Queue } from "./queue";
import * as resume from "./resume";
import { stills } from "./still";
import * as units from "./units";
import { button, copy, focusIn, h, icon, loginPath, poster, show, text } from "./view";
import { watchPath, watchUrl } from "./view";
import { stageWord, words } from "./words";

const w = words.upload;

export class Row {
  readonly element = h("li", { class: "row" });
  #poster = poster(null);
  #posterUrl: string | null = null;
  #still: string | null = null;
  #name = h("h2", { class: "row-name" });
  #phase = h("span", { class: "row-phase" });
  #facts = h("span", { class: "row-facts muted" });
  #problem = h("p", { class: "row-problem", hidden: true });
  #bar = h("progress", { max: 1, value: 0 });
  #input = h("input", { type: "file", class: "unseen", tabindex: -1 });
  #buttons: Record<string, HTMLButtonElement>;
  #watch = h("a", { class: "button primary", hidden: true }, icon("play"), w.watch);
  #login = h("a", { class: "button primary", href: loginPath(), hidden: true }, w.login);
  #stage = h("div", { class: "row-stage", hidden: true });
  #more: More | null = null;
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
    ) => button(name, said, action, { "aria-label": words.labelled(said, item.name), ...props });
    const remove = () => void queue.remove(item);
    this.#buttons = {
      goOn: make("play", w.goOn, () => void this.#goOn(), { class: "button primary" }),
      choose: make("file", w.choose, () => this.#input.click()),
      pause: make("pause", w.pause, () => queue.pause(item)),
      resume: make("play", w.resume, () => queue.resume(item)),
      now: make("retry", w.retry, () => queue.resume(item)),
      retry: make("retry", w.retry, () => void queue.retry(item)),
      play: make("film", w.playHere, () => this.#togglePlayer(), { "aria-expanded": "false" }),
      copy: make("link", w.copy, (it) => item.videoId && void copy(watchUrl(item.videoId), it)),
      details: make("pencil", w.details, () => this.#toggleMore(), { "aria-expanded": "false" }),
      cancel: make("close", w.cancel, remove),
      discard: make("trash", w.discard, remove),
      remove: make("close", w.remove, remove),
    };
    text(this.#name, item.name);
    this.#bar.setAttribute("aria-label", w.progressOf(item.name));
    this.#input.setAttribute("aria-label", words.labelled(w.choose, item.name));
    this.#input.addEventListener("change", () => {
      const file = this.#input.files?.[0];
      this.#input.value = "";
      if (file) queue.give(item, file, null);
    });
    const buttons = [this.#watch, this.#login, ...Object.values(this.#buttons), this.#input];
    this.element.append(
      this.#poster,
      h(
        "div",
        { class: "row-body" },
        this.#name,
        h("div", { class: "row-line" }, this.#phase, this.#facts),
        this.#bar,
        this.#problem,
        h("div", { class: "actions" }, ...buttons),
      ),
      this.#stage,
    );
    if (item.file) stills.want(this.element, item.file, (url) => this.#takeStill(url));
  }

  /** Somebody is in it, or has opened something: it mustn't go when it is scrolled away. */
  get isInUse(): boolean {
    const { play, details } = this.#buttons;
    const isOpen = [play, details].some((it) => it?.getAttribute("aria-expanded") === "true");
    return isOpen || focusIn(this.element) !== null;
  }

  /** Takes the row off the page. */
  end(): void {
    window.clearInterval(this.#ticking);
    stills.forget(this.element);
    this.element.remove();
  }

  draw(): void {
    const { item } = this;
    this.element.dataset.phase = item.phase;
    text(this.#name, item.details.title || item.video?.title || item.name);
    text(this.#phase, this.#phaseWords());
    text(this.#facts, this.#factWords());
    this.#drawBar();
    this.#drawProblem();
    this.#drawPoster();
    this.#drawButtons();
    this.#more?.draw();
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
        const { bytesPerSecond } = item;
        const left = units.span((item.size - item.sent) / bytesPerSecond);
        const pace = bytesPerSecond > 0 ? [units.rate(bytesPerSecond), w.left(left)] : [];
        return units.facts(w.of(sent, size), ...pace, item.video?.playable && words.playable);
      }
      case "paused":
        return w.of(sent, size);
      case "retrying": {
        const wait = Math.ceil(((item.retryAt ?? 0) - Date.now()) / 1000);
        const next = wait > 0 ? w.retryIn(units.countdown(wait)) : w.retryNow;
        return units.facts(w.of(sent, size), next);
      }
      case "unfinished":
        return (item.handle ? w.oneClick : w.needsFile)(sent, size);
      case "processing":
        return this.#processingFacts(size);
      case "ready": {
        const seconds = item.video?.source?.duration ?? item.video?.duration;
        return units.facts(seconds && units.clock(seconds), size);
      }
      default:
        return size;
    }
  }

  #processingFacts(size: string): string {
    const { video } = this.item;
    const share = shareOf(video?.processing);
    const eta = video?.processing?.etaSeconds;
    const facts = units.facts(
      share > 0 && units.share(share),
      eta && w.left(units.span(eta)),
      video?.playable && words.playable,
    );
    return facts || size;
  }

  #drawBar(): void {
    const { item } = this;
    show(this.#bar, item.phase !== "ready" && item.phase !== "failed");
    const processing = item.phase === "processing";
    const sent = item.size > 0 ? item.sent / item.size : 0;
    const share = processing ? shareOf(item.video?.processing) : sent;
    const unknown =
      item.phase === "finishing" || item.phase === "checking" || (processing && share === 0);
    if (unknown) this.#bar.removeAttribute("value");
    else if (this.#bar.value !== share || !this.#bar.hasAttribute("value")) this.#bar.value = share;
  }

  #drawProblem(): void {
    const { problem, phase } = this.item;
    show(this.#problem, problem !== null);
    if (!problem) return;
    text(this.#problem, words.sentences(problem.title, problem.detail));
    this.#problem.dataset.kind = phase === "retrying" ? "passing" : "blocking";
  }

  #takeStill(url: string): void {
    this.#still = url;
    this.#drawPoster();
  }

  #drawPoster(): void {
    const url = this.item.video?.playback?.poster ?? this.#still;
    if (url === this.#posterUrl) return;
    if (url !== this.#still) stills.forget(this.element);
    this.#posterUrl = url;
    const drawn = poster(url);
    // Behind the server's picture, which another site's page may not be shown.
    const still = this.#still;
    const image = drawn.querySelector("img");
    if (still && url !== still && image) {
      image.addEventListener("error", () => drawn.replaceChildren(...poster(still).children));
    }
    this.#poster.replaceWith(drawn);
    this.#poster = drawn;
  }

  #drawButtons(): void {
    const { item } = this;
    const { phase } = item;
    const on = (phases: Phase[]) => phases.includes(phase);
    const b = this.#buttons;
    const active = focusIn(this.element);
    const playable = item.videoId !== null && (phase === "ready" || item.video?.playable === true);
    const wanted: Record<string, boolean> = {
      goOn: isAtHand(item),
      choose: phase === "unfinished",
      pause: on(["waiting", "checking", "uploading", "retrying"]),
      resume: phase === "paused" && !item.loginNeeded,
      now: phase === "retrying",
      retry: phase === "failed" && item.retryable,
      play: playable && phase !== "failed",
      copy: on(["processing", "ready"]) && item.videoId !== null,
      details: phase !== "failed" || item.videoId !== null,
      cancel: on(["waiting", "checking", "uploading", "retrying", "paused"]),
      discard: phase === "unfinished",
      remove: on(["ready", "failed"]),
    };
    for (const [name, visible] of Object.entries(wanted)) {
      const one = b[name];
      if (one) show(one, visible);
    }
    // Whose page this is knows how one gets in there.
    show(this.#login, item.loginNeeded && phase === "paused" && !door.token);
    if (playable && item.videoId) this.#watch.href = door.url(watchPath(item.videoId));
    this.#watch.setAttribute("aria-label", words.labelled(w.watch, item.name));
    show(this.#watch, playable && phase !== "failed");
    // Pause and resume take each other's place; the keyboard should stay there.
    if (active?.hidden) {
      const heir = [b.resume, b.pause].find((it) => it?.hidden === false);
      const any = this.element.querySelector<HTMLElement>(".actions > :not([hidden]):not(input)");
      (heir ?? any)?.focus();
    }
  }

  async #goOn(): Promise<void> {
    const { item } = this;
    const file = item.handle ? await resume.open(item.handle) : null;
    if (file) this.queue.give(item, file, item.handle);
    else this.#input.click();
  }

  /** Opens a player in the row, or shuts it. */
  #togglePlayer(): void {
    const { item } = this;
    const open = this.#stage.hidden === true && item.videoId !== null;
    this.#buttons.play?.setAttribute("aria-expanded", String(open));
    const label = this.#buttons.play?.querySelector("span");
    if (label) text(label, open ? w.playerShut : w.playHere);
    this.#buttons.play?.setAttribute(
      "aria-label",
      words.labelled(open ? w.playerShut : w.playHere, item.name),
    );
    if (open) {
      void provide("slipway-player");
      const player = document.createElement("slipway-player");
      player.setAttribute("video", item.videoId ?? "");
      this.#stage.replaceChildren(player);
    } else this.#stage.replaceChildren();
    show(this.#stage, open);
    this.#more?.draw();
  }

  #toggleMore(): void {
    const open = this.#more === null || this.#more.element.hidden === true;
    this.#more ??= new More(this.item, this.queue, () => this.#playing());
    if (!this.#more.element.isConnected) this.element.append(this.#more.element);
    show(this.#more.element, open);
    this.#buttons.details?.setAttribute("aria-expanded", String(open));
    if (open) this.#more.open();
  }

  /** Where the film is that plays in this row, in seconds, if one does. */
  #playing(): number | null {
    const player = this.#stage.querySelector<HTMLElement & { currentTime?: number }>(
      "slipway-player",
    );
    return player?.currentTime ?? null;
  }
}
