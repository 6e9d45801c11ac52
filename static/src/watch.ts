/** `<slipway-watch>` and `<slipway-embed>`: the pages around the player. */

import * as api from "./api";
import { editDetails } from "./details";
import { SlipwayPlayer, TimePassed, VideoChanged } from "./player";
import { chapterAt } from "./player-seek";
import { shareOf } from "./progress";
import * as units from "./units";
import { button, chip, copy, h, icon, show, text, watchUrl } from "./view";
import { words } from "./words";

const w = words.watch;
/** The size of a frame that nobody has measured. */
const FRAME = { width: 640, height: 360 };

/** Returns the video's id out of `/watch/{id}` or `/embed/{id}`. */
function idFromPath(): string {
  return decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1) ?? "");
}

/** Returns the playback token in the page's address, if there is one. */
const tokenFromAddress = () => new URLSearchParams(location.search).get("token");

/** Makes a player that begins where the address says (`?t=`). */
function playerFor(id: string, more: Record<string, unknown> = {}): SlipwayPlayer {
  if (!customElements.get("slipway-player")) {
    customElements.define("slipway-player", SlipwayPlayer);
  }
  const start = new URLSearchParams(location.search).get("t");
  const token = tokenFromAddress();
  return h("slipway-player" as "div", { video: id, start, token, ...more }) as HTMLElement as SlipwayPlayer;
}

export class SlipwayWatch extends HTMLElement {
  readonly #id = idFromPath();
  readonly #player = playerFor(this.#id);
  readonly #title = h("h1");
  readonly #facts = h("p", { class: "muted facts" });
  readonly #chip = h("span");
  readonly #description = h("p", { class: "description" });
  readonly #tags = h("ul", { class: "tags", "aria-label": w.tags });
  readonly #more = h("section", { class: "card watch-more", hidden: true });
  readonly #about = h("section", { class: "watch-about", hidden: true });
  readonly #edit = button("pencil", w.edit, () => void this.#change());
  readonly #original = h(
    "a",
    { class: "button", hidden: true, download: true },
    icon("file"),
    h("span", {}, w.download),
  );
  readonly #fromNow = h("input", { type: "checkbox" });
  readonly #fromWords = h("span");
  readonly #chapters = new ChapterList((start) => this.#begin(start));
  #video: api.Video | null = null;
  #session: api.Session | null = null;

  connectedCallback(): void {
    this.#player.addEventListener("slipway-video", (event) => {
      if (event instanceof VideoChanged) this.#draw(event.detail);
    });
    this.#player.addEventListener("slipway-time", (event) => {
      if (event instanceof TimePassed) this.#passed(event.detail);
    });
    this.#edit.hidden = true;
    this.#about.append(
      h("div", { class: "watch-title" }, this.#title, this.#chip),
      this.#facts,
      h(
        "div",
        { class: "actions" },
        button("link", w.share, (it) => void copy(this.#link, it)),
        button("code", w.embed, (it) => void copy(this.#code, it)),
        h("label", { class: "from-now" }, this.#fromNow, this.#fromWords),
        this.#original,
        this.#edit,
      ),
      this.#description,
      this.#tags,
      this.#chapters.element,
    );
    this.#passed(0);
    this.replaceChildren(this.#player, this.#about, this.#more);
    void this.#maybeEdit();
  }

  /** What the address of a link or a frame says besides, where it begins at a moment. */
  get #asked(): string {
    const now = Math.floor(this.#player.currentTime);
    const token = tokenFromAddress();
    const asked = new URLSearchParams({
      ...(this.#fromNow.checked && now > 0 ? { t: String(now) } : {}),
      // Whoever is here by one passes on what he has.
      ...(token ? { token } : {}),
    });
    return asked.size > 0 ? `?${asked}` : "";
  }

  get #link(): string {
    return watchUrl(this.#id) + this.#asked;
  }

  /** The code that puts the video into another page. */
  get #code(): string {
    const path = `/embed/${encodeURIComponent(this.#id)}${this.#asked}`;
    const frame = h("iframe", {
      src: new URL(path, location.origin).href,
      title: this.#video?.title ?? "",
      ...FRAME,
      allow: "autoplay; fullscreen; picture-in-picture",
      allowfullscreen: true,
    });
    return frame.outerHTML;
  }

  #begin(start: number): void {
    this.#player.seek(start);
    void this.#player.play().catch(() => undefined);
  }

  #passed(seconds: number): void {
    text(this.#fromWords, w.fromNow(units.clock(Math.floor(seconds))));
    this.#chapters.mark(seconds);
  }

  async #maybeEdit(): Promise<void> {
    this.#session = await api.session().catch(() => null);
    if (this.#video) this.#draw(this.#video);
  }

  #draw(video: api.Video): void {
    this.#video = video;
    const title = video.title || w.untitled;
    document.title = units.facts(title, words.product);
    text(this.#title, title);
    show(this.#about, true);
    const seconds = video.source?.duration ?? video.duration;
    const day = video.createdAt && units.day(video.createdAt);
    text(this.#facts, units.facts(seconds && units.clock(seconds), day));
    text(this.#description, video.description ?? "");
    show(this.#description, !!video.description);
    const tags = video.tags ?? [];
    this.#tags.replaceChildren(...tags.map((tag) => h("li", { class: "tag" }, tag)));
    show(this.#tags, tags.length > 0);
    show(this.#edit, api.mayChange(this.#session, video.owner));
    const isOver = api.isOver(this.#session, video.owner);
    show(this.#original, isOver && video.originalKept !== false);
    this.#original.href = `/api/videos/${encodeURIComponent(this.#id)}/original`;
    this.#chapters.draw(video.playback?.chapters?.items ?? []);
    // Who watches wants to know of a state only when it isn't the usual one.
    this.#chip.replaceChildren(
      ...(video.state === "ready" ? [] : [chip(video.state, share(video))]),
    );
    this.#drawMore(video);
  }

  #drawMore(video: api.Video): void {
    const rungs = (video.renditions ?? []).filter((one) => one.kind === "video");
    const { source } = video;
    show(this.#more, rungs.length > 0 || !!source?.videoCodec);
    this.#more.replaceChildren(
      h(
        "dl",
        {},
        ...(rungs.length > 0
          ? [h("dt", {}, w.qualities), h("dd", {}, ...rungs.flatMap(rung))]
          : []),
        ...(source?.width && source.height
          ? [h("dt", {}, w.source), h("dd", {}, sourceWords(video))]
          : []),
      ),
    );
  }

  async #change(): Promise<void> {
    if (!this.#video) return;
    const saved = await editDetails(this.#video);
    if (saved) this.#draw(saved);
  }
}

/** The chapters beneath the film: each leads to its moment, and the one that plays is marked. */
class ChapterList {
  readonly #list = h("ol", { class: "chapters" });
  readonly element = h("section", { hidden: true }, h("h2", {}, w.chapters), this.#list);
  #chapters: readonly api.Chapter[] = [];

  constructor(private readonly onChoose: (start: number) => void) {}

  draw(chapters: readonly api.Chapter[]): void {
    const said = (all: readonly api.Chapter[]) => JSON.stringify(all);
    if (said(chapters) === said(this.#chapters)) return;
    this.#chapters = chapters;
    show(this.element, chapters.length > 1);
    const rows = chapters.map(({ start, title }) => {
      const time = h("span", { class: "muted", dir: "ltr" }, units.clock(Math.floor(start)));
      const made = h("button", { type: "button", class: "button quiet" }, time, title);
      made.addEventListener("click", () => this.onChoose(start));
      return h("li", {}, made);
    });
    this.#list.replaceChildren(...rows);
  }

  mark(seconds: number): void {
    const now = chapterAt(this.#chapters, seconds);
    this.#list.querySelectorAll("button").forEach((it, index) => {
      if (this.#chapters[index] === now) it.setAttribute("aria-current", "true");
      else it.removeAttribute("aria-current");
    });
  }
}

function share(video: api.Video): string {
  const progress = shareOf(video.processing);
  return video.state === "processing" && progress > 0 ? units.share(progress) : "";
}

function rung(one: api.Rendition): Node[] {
  const busy = one.state === "running" && one.progress ? ` ${units.share(one.progress)}` : "";
  return [h("span", { class: "rung", "data-state": one.state }, one.name + busy), new Text(" ")];
}

function sourceWords(video: api.Video): string {
  const { source } = video;
  const codecs = [source?.videoCodec, source?.audioCodec].filter(Boolean).join(" + ");
  const size = video.size && units.size(video.size);
  return units.facts(`${source?.width} × ${source?.height}`, codecs, size);
}

/**
 * Nothing but the player, to stand in a frame of another page. Its address may say `autoplay=1`,
 * `muted=1`, `controls=0` and `t=` (a moment).
 */
export class SlipwayEmbed extends HTMLElement {
  connectedCallback(): void {
    const title = h("h1", { class: "unseen" }, words.watch.embedTitle);
    const asked = new URLSearchParams(location.search);
    const player = playerFor(idFromPath(), {
      fill: true,
      autoplay: isAsked(asked.get("autoplay")),
      muted: isAsked(asked.get("muted")),
      controls: asked.get("controls"),
    });
    player.addEventListener("slipway-video", (event) => {
      if (!(event instanceof VideoChanged)) return;
      document.title = event.detail.title || words.watch.embedTitle;
      text(title, document.title);
    });
    this.replaceChildren(title, player);
  }
}

function isAsked(said: string | null): boolean {
  return said !== null && !["0", "false", "no"].includes(said);
}
