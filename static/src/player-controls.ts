/**
 * What one sees of the player and does with it: the picture, the bar, the menus, the keys, and the
 * words that tell what happened. The film's element is the state; its events draw everything.
 */

import type { Chapter, Video } from "./api";
import { Bar } from "./player-bar";
import { draw } from "./player-icons";
import { helpPage, press } from "./player-keys";
import * as memory from "./player-memory";
import type { List } from "./player-menu";
import { chapterAt, Seek, type Standing } from "./player-seek";
import type { Source } from "./player-source";
import * as units from "./units";
import { h, show, text } from "./view";
import { words } from "./words";

const w = words.player;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
/** The buttons go away when nothing was touched for so long. */
const QUIET_MS = 3_000;
/** How long words over the picture stay. */
const TOLD_MS = 1_500;
/** Behind the newest picture of a film that grows: it waits for more. */
const EDGE_SECONDS = 1.5;

/** What iPhones have instead of a full screen for elements. */
type OwnScreen = HTMLVideoElement & { webkitEnterFullscreen?: () => void };

export class Controls {
  readonly #seek = new Seek((seconds) => this.seek(seconds));
  readonly #told = h("div", { class: "told", role: "status", "aria-live": "polite" });
  readonly #waits = h("div", { class: "waits", hidden: true }, h("span", { class: "ring" }));
  readonly #waitWords = h("span");
  readonly #big = h("button", { type: "button", class: "big", hidden: true }, draw("play"));
  readonly #help = helpPage();
  readonly #bar: Bar;
  readonly #dock: HTMLElement;
  readonly #frame = h("div", {
    class: "player",
    role: "region",
    tabindex: -1,
    "aria-label": w.region,
  });
  #video: Video | null = null;
  #chapters: readonly Chapter[] = [];
  #quietly = 0;
  #telling = 0;
  /** The language of the texts that were shown last. */
  #language = memory.likings().captions ?? "";
  #textChosen = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly media: HTMLVideoElement,
    private readonly source: Source,
  ) {
    this.#bar = new Bar({
      toggle: () => this.#toggle(),
      mute: () => this.#mute(),
      volume: (value) => this.#setVolume(value),
      apart: () => void this.#apart(),
      full: () => void this.#full(),
      texts: () => this.#textList(),
      settings: () => this.#settings(),
      onMenu: () => this.#wake(),
    });
    const menus = this.#bar.menus.map(({ box }) => box);
    this.#dock = h("div", { class: "dock" }, this.#seek.element, this.#bar.element);
    this.#dock.append(...menus);
    this.#waits.append(this.#waitWords);
    this.#big.setAttribute("aria-label", w.play);
    this.#big.addEventListener("click", () => {
      this.#toggle();
      this.#bar.play.focus();
    });
  }

  /** Puts the picture, what lies over it and the controls together. */
  frame(media: HTMLVideoElement, chips: HTMLElement, curtain: HTMLElement): HTMLElement {
    const [frame, dock] = [this.#frame, this.#dock];
    frame.append(media, this.#waits, this.#big, chips, dock, this.#told, curtain, this.#help);
    frame.toggleAttribute("data-bare", ["0", "false"].includes(this.host.getAttribute("controls") ?? ""));
    this.#listen();
    return frame;
  }

  /** Takes what a description of the video says of its chapters, pictures and length. */
  learn(video: Video): void {
    this.#video = video;
    this.#chapters = video.playback?.chapters?.items ?? [];
    this.#seek.chapters = this.#chapters;
    this.#seek.board = video.playback?.storyboard ?? null;
    this.draw();
  }

  /** Something lies over the picture and says why nothing plays, or it doesn't any more. */
  curtain(isDown: boolean): void {
    this.#frame.toggleAttribute("data-down", isDown);
    this.#dock.inert = isDown;
    this.draw();
  }

  /** Where the focus goes that has lost its place. */
  get first(): HTMLElement {
    return this.#bar.play;
  }

  /** Where the film stands; one that is being made is as long as it will be. */
  get standing(): Standing {
    const { media } = this;
    const { seekable, buffered } = media;
    const end = seekable.length > 0 ? seekable.end(seekable.length - 1) : 0;
    const known = Number.isFinite(media.duration) ? media.duration : end;
    const expected = this.#video?.source?.duration ?? this.#video?.duration ?? 0;
    const length = this.#isGrowing ? Math.max(known, expected) : known || expected;
    const loaded = Array.from({ length: buffered.length }, (_, index) => {
      return [buffered.start(index), buffered.end(index)] as [number, number];
    });
    return { now: media.currentTime, length, made: this.#isGrowing ? known : length, loaded };
  }

  get #isGrowing(): boolean {
    return this.#video?.state !== "ready" && this.#video?.state !== "failed";
  }

  /** Goes to a moment, or as near to it as is made. */
  seek(seconds: number): void {
    const { made, length } = this.standing;
    const last = made < length ? Math.max(0, made - EDGE_SECONDS) : length;
    if (seconds > made && made < length) this.#tell(w.notMade);
    this.media.currentTime = Math.min(Math.max(0, seconds), last);
    this.draw();
  }

  #listen(): void {
    const { media, host } = this;
    const drawn = ["timeupdate", "progress", "durationchange", "seeking", "seeked", "loadedmetadata"];
    for (const type of drawn) media.addEventListener(type, () => this.draw());
    for (const type of ["play", "pause", "ended", "emptied"]) {
      media.addEventListener(type, () => this.#stateChanged(type));
    }
    for (const type of ["waiting", "stalled"]) media.addEventListener(type, () => this.#wait());
    for (const type of ["playing", "canplay", "seeked", "pause", "ended"]) {
      media.addEventListener(type, () => this.#wait(false));
    }
    media.addEventListener("volumechange", () => this.draw());
    media.addEventListener("ratechange", () => this.drawChoices());
    for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) {
      media.addEventListener(type, () => this.draw());
    }
    host.addEventListener("fullscreenchange", () => this.draw());
    this.#frame.addEventListener("keydown", (event) => this.#pressed(event));
    this.#listenToPointers();
  }

  #listenToPointers(): void {
    const { media } = this;
    const frame = this.#frame;
    let byTouch = false;
    frame.addEventListener("pointerdown", (event) => {
      byTouch = event.pointerType === "touch";
      for (const menu of this.#bar.menus) {
        const inside = [menu.box, menu.button].some((it) => event.composedPath().includes(it));
        if (menu.isOpen && !inside) menu.close(false);
      }
    });
    for (const type of ["pointermove", "focusin"]) {
      frame.addEventListener(type, (event) => {
        const isTouch = event instanceof PointerEvent && event.pointerType === "touch";
        if (!isTouch) this.#wake();
      });
    }
    frame.addEventListener("pointerleave", ({ pointerType }) => {
      if (pointerType === "mouse") this.#rest();
    });
    media.addEventListener("click", () => {
      if (!byTouch) this.#toggle();
      else if (frame.hasAttribute("data-quiet")) this.#wake();
      else if (!media.paused) this.#rest();
      else this.#toggle();
    });
    media.addEventListener("dblclick", () => void this.#full());
  }

  #pressed(event: KeyboardEvent): void {
    if (this.#help.open || this.#dock.inert) return;
    const done = press(event, {
      toggle: () => this.#toggle(true),
      skip: (seconds) => this.#skip(seconds),
      seekTo: (share) => this.#skip(share * this.standing.length - this.media.currentTime),
      louder: (by) => {
        this.#setVolume(Math.min(1, Math.max(0, this.media.volume + by)));
        this.#tell(w.told.volume(units.share(this.media.volume)));
      },
      mute: () => this.#mute(),
      full: () => void this.#full(),
      captions: () => this.#toggleText(),
      faster: (by) => this.#faster(by),
      apart: () => void this.#apart(),
      help: () => this.#help.showModal(),
    });
    if (!done) return;
    event.preventDefault();
    event.stopPropagation();
    this.#wake();
  }

  /** Shows the buttons, for a while. */
  #wake(): void {
    this.#frame.removeAttribute("data-quiet");
    window.clearTimeout(this.#quietly);
    this.#quietly = window.setTimeout(() => this.#rest(), QUIET_MS);
  }

  /** Hides the buttons, unless they are used or nothing plays. */
  #rest(): void {
    const isUsed =
      this.media.paused ||
      this.#bar.menus.some((menu) => menu.isOpen) ||
      this.#dock.querySelector(":focus-visible") !== null;
    this.#frame.toggleAttribute("data-quiet", !isUsed);
  }

  #stateChanged(type: string): void {
    if (type === "ended") this.#tell(w.told.ended, false);
    this.#wake();
    this.draw();
  }

  #wait(isWaiting = true): void {
    const { made, length, now } = this.standing;
    const isAtEdge = made < length && made - now < EDGE_SECONDS;
    const { ended, paused, seeking } = this.media;
    const isSeen = isWaiting && !ended && (!paused || seeking);
    text(this.#waitWords, isAtEdge ? w.edge : w.buffering);
    show(this.#waits, isSeen && !this.#frame.hasAttribute("data-down"));
  }

  /** Tells what happened: to the eye for a moment, and to screen readers. */
  #tell(said: string, isSeen = true): void {
    text(this.#told, said);
    this.#told.toggleAttribute("data-seen", isSeen);
    window.clearTimeout(this.#telling);
    this.#telling = window.setTimeout(() => this.#told.removeAttribute("data-seen"), TOLD_MS);
  }

  draw(): void {
    const { media } = this;
    const { standing } = this;
    const root = this.host.shadowRoot;
    this.#seek.draw(standing);
    const hasBegun = media.played.length > 0 || !media.paused;
    show(this.#big, !hasBegun && !this.#frame.hasAttribute("data-down"));
    const texts = this.source.texts;
    this.#bar.draw({
      state: media.ended ? "ended" : media.paused ? "paused" : "playing",
      now: standing.now,
      length: standing.length,
      chapter: chapterAt(this.#chapters, standing.now)?.title ?? "",
      muted: media.muted,
      volume: media.volume,
      texts: texts.length > 0,
      textsOn: this.source.text !== null,
      apart: root?.pictureInPictureElement === media,
      full: this.#isFull,
    });
  }

  /** Draws what there is to choose from. */
  drawChoices(): void {
    this.#likeText();
    for (const menu of this.#bar.menus) menu.refresh();
    this.draw();
  }

  #toggle(isTold = false): void {
    const { media } = this;
    if (media.paused) {
      void media.play().catch(() => undefined);
      if (isTold) this.#tell(w.told.playing);
    } else {
      media.pause();
      if (isTold) this.#tell(w.told.paused);
    }
  }

  #skip(seconds: number): void {
    this.seek(this.media.currentTime + seconds);
    const { now, made, length } = this.standing;
    if (made === length || now < made - EDGE_SECONDS) {
      this.#tell(w.told.at(units.clock(Math.floor(now))));
    }
  }

  #mute(): void {
    const { media } = this;
    const wasQuiet = media.muted || media.volume === 0;
    media.muted = !wasQuiet;
    if (wasQuiet && media.volume === 0) media.volume = 1;
    this.#likeSound();
    this.#tell(media.muted ? w.told.muted : w.told.volume(units.share(media.volume)));
  }

  #setVolume(value: number): void {
    this.media.volume = value;
    this.media.muted = value === 0;
    this.#likeSound();
  }

  /** Remembers what somebody has chosen; that a frame was asked to be quiet is no choice. */
  #likeSound(): void {
    memory.like({ volume: this.media.volume, muted: this.media.muted });
  }

  async #apart(): Promise<void> {
    const isApart = this.host.shadowRoot?.pictureInPictureElement === this.media;
    try {
      if (isApart) await document.exitPictureInPicture();
      else await this.media.requestPictureInPicture();
    } catch {
      // Not yet loaded, or not allowed here: it stays where it is.
    }
  }

  get #isFull(): boolean {
    const { host } = this;
    return (host.getRootNode() as Document | ShadowRoot).fullscreenElement === host;
  }

  async #full(): Promise<void> {
    try {
      if (this.#isFull) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await this.host.requestFullscreen();
      else (this.media as OwnScreen).webkitEnterFullscreen?.();
    } catch {
      // Not allowed in this frame.
    }
  }

  #faster(by: 1 | -1): void {
    const { playbackRate } = this.media;
    const next = by > 0
      ? SPEEDS.find((speed) => speed > playbackRate)
      : SPEEDS.findLast((speed) => speed < playbackRate);
    this.#setSpeed(next ?? playbackRate);
  }

  #setSpeed(speed: number): void {
    this.media.playbackRate = speed;
    this.#tell(w.told.speed(factor(speed)));
  }

  #settings(): List {
    const { source, media } = this;
    const { qualities, sounds } = source;
    const chapter = chapterAt(this.#chapters, media.currentTime);
    const speed = media.playbackRate;
    const items = [
      qualities.length > 1 && {
        name: w.quality,
        detail: this.#qualityNow,
        list: () => this.#qualityList(),
      },
      { name: w.speed, detail: speedName(speed), list: () => this.#speedList() },
      sounds.length > 1 && {
        name: w.sound,
        detail: sounds[source.sound]?.name ?? "",
        list: () => this.#soundList(),
      },
      chapter && { name: w.chapter, detail: chapter.title, list: () => this.#chapterList() },
      { name: w.shortcuts, choose: () => this.#help.showModal() },
    ];
    return { name: w.settings, items: items.filter((item) => !!item) };
  }

  get #qualityNow(): string {
    const { source } = this;
    const chosen = source.qualities.find(({ id }) => id === source.quality);
    if (chosen) return chosen.name;
    return source.playing ? w.autoNow(source.playing) : w.auto;
  }

  #qualityList(): List {
    const { source } = this;
    const auto = { id: -1, name: source.quality < 0 ? this.#qualityNow : w.auto };
    const items = [auto, ...source.qualities].map(({ id, name }) => ({
      name,
      checked: source.quality === id,
      choose: () => {
        source.quality = id;
        this.#tell(w.told.quality(id < 0 ? w.auto : name));
      },
    }));
    return { name: w.quality, items };
  }

  #speedList(): List {
    const items = SPEEDS.map((speed) => ({
      name: speedName(speed),
      checked: this.media.playbackRate === speed,
      choose: () => this.#setSpeed(speed),
    }));
    return { name: w.speed, items };
  }

  #soundList(): List {
    const { source } = this;
    const items = source.sounds.map(({ id, name }) => ({
      name,
      checked: source.sound === id,
      choose: () => {
        source.sound = id;
        this.#tell(name);
      },
    }));
    return { name: w.sound, items };
  }

  #chapterList(): List {
    const now = chapterAt(this.#chapters, this.media.currentTime);
    const items = this.#chapters.map((chapter) => ({
      name: chapter.title,
      detail: units.clock(Math.floor(chapter.start)),
      checked: chapter === now,
      choose: () => {
        this.seek(chapter.start);
        this.#tell(w.told.chapter(chapter.title));
      },
    }));
    return { name: w.chapter, items };
  }

  #textList(): List {
    const now = this.source.text;
    const choices = [null, ...this.source.texts].map((track) => ({
      name: track ? nameOf(track) : w.captionsOff,
      checked: track === now,
      choose: () => this.#chooseText(track),
    }));
    return { name: w.captions, items: choices };
  }

  #chooseText(track: TextTrack | null): void {
    this.#textChosen = true;
    this.source.text = track;
    if (track) this.#language = track.language;
    memory.like({ captions: track?.language ?? "" });
    this.#tell(track ? w.told.captions(nameOf(track)) : w.told.captionsOff);
    this.draw();
  }

  #toggleText(): void {
    const { texts, text: now } = this.source;
    if (texts.length === 0) return;
    const last = texts.find(({ language }) => language === this.#language);
    this.#chooseText(now ? null : (last ?? texts[0] ?? null));
  }

  /** Shows the texts in the language that somebody has chosen once. */
  #likeText(): void {
    const { captions } = memory.likings();
    if (this.#textChosen || !captions || this.source.text) return;
    const liked = this.source.texts.find(({ language }) => language === captions);
    if (!liked) return;
    this.#textChosen = true;
    this.source.text = liked;
  }
}

function nameOf(track: TextTrack): string {
  return track.label || track.language;
}

function factor(speed: number): string {
  return units.number(speed, Number.isInteger(speed) ? 0 : speed % 0.5 === 0 ? 1 : 2);
}

function speedName(speed: number): string {
  return speed === 1 ? w.normal : w.speedOf(factor(speed));
}
