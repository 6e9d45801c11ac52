/**
 * The bar to seek on: a range input over a drawing of what was played, what is loaded and what
 * isn't made yet, with a picture of the moment under the pointer, the finger or the focus. Time
 * runs from left to right in every language.
 */

import type { Chapter } from "./api";
import { door } from "./door";
import { Board } from "./player-board";
import * as units from "./units";
import { h, show, text } from "./view";
import { words } from "./words";

const w = words.player;
/** Pieces of what is loaded that are drawn at most. */
const PIECES_MAX = 12;
const THUMB_PX = 16;

/** Where the film stands, in seconds. */
export interface Standing {
  now: number;
  length: number;
  /** How much of it exists. */
  made: number;
  loaded: [start: number, end: number][];
}

export class Seek {
  readonly range = h("input", {
    type: "range",
    class: "range",
    min: 0,
    max: 0,
    step: "any",
    value: 0,
    "aria-label": w.seek,
  });
  readonly #played = h("span", { class: "played" });
  readonly #loaded = h("span", { class: "pieces" });
  readonly #unmade = h("span", { class: "unmade", hidden: true });
  readonly #marks = h("span", { class: "marks" });
  readonly #picture = h("span", { class: "preview-picture", hidden: true });
  readonly #chapter = h("span", { class: "preview-chapter", hidden: true });
  readonly #time = h("span", { class: "preview-time" });
  readonly #preview = h(
    "div",
    { class: "preview", hidden: true, "aria-hidden": "true" },
    this.#picture,
    this.#chapter,
    this.#time,
  );
  readonly element = h(
    "div",
    { class: "seek", dir: "ltr" },
    h(
      "div",
      { class: "rail" },
      this.#unmade,
      this.#loaded,
      this.#played,
      this.#marks,
    ),
    this.range,
    this.#preview,
  );
  readonly #board = new Board();
  #standing: Standing = { now: 0, length: 0, made: 0, loaded: [] };
  #chapters: readonly Chapter[] = [];
  /** Somebody is dragging: the film follows when they let go. */
  #held = false;
  /** What the pointer points at. */
  #pointed: number | null = null;

  constructor(private readonly onSeek: (seconds: number) => void) {
    const { range, element } = this;
    range.addEventListener("input", () => {
      this.#held = true;
      this.#drawPlayed(Number(range.value));
      this.#point(Number(range.value));
    });
    range.addEventListener("change", () => {
      this.#held = false;
      this.onSeek(Number(range.value));
      if (!element.matches(":hover")) this.#point(null);
    });
    element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && !this.#held) this.#point(this.#under(event));
    });
    element.addEventListener("pointerleave", () => {
      if (!this.#held) this.#point(null);
    });
    range.addEventListener("focus", () => this.#drawPreview());
    range.addEventListener("blur", () => {
      this.#held = false;
      this.#point(null);
    });
  }

  /** Says where the pictures are. */
  set board(url: string | null) {
    this.#board.url = url;
  }

  set chapters(chapters: readonly Chapter[]) {
    this.#chapters = chapters;
    this.#drawMarks();
  }

  draw(standing: Standing): void {
    const { length } = this.#standing;
    this.#standing = standing;
    const { range } = this;
    if (length !== standing.length) {
      range.max = String(standing.length);
      this.#drawMarks();
    }
    if (!this.#held) {
      range.value = String(standing.now);
      this.#drawPlayed(standing.now);
    }
    this.#drawPieces();
    const { made } = standing;
    show(this.#unmade, made < standing.length - 0.5);
    this.#unmade.style.setProperty("--from", String(this.#share(made)));
    if (this.#pointed === null) this.#drawPreview();
  }

  #share(seconds: number): number {
    const { length } = this.#standing;
    return length > 0 ? Math.min(1, Math.max(0, seconds / length)) : 0;
  }

  #drawPlayed(now: number): void {
    this.#played.style.setProperty("--to", String(this.#share(now)));
    const chapter = chapterAt(this.#chapters, now);
    const at = w.at(units.clock(Math.floor(now)), units.clock(this.#standing.length));
    this.range.setAttribute("aria-valuetext", chapter ? `${at}, ${chapter.title}` : at);
  }

  #drawPieces(): void {
    const { loaded } = this.#standing;
    const pieces = this.#loaded;
    while (pieces.children.length > Math.min(loaded.length, PIECES_MAX)) pieces.lastChild?.remove();
    loaded.slice(0, PIECES_MAX).forEach(([start, end], index) => {
      const piece = (pieces.children[index] as HTMLElement | undefined) ?? h("span");
      piece.style.setProperty("--from", String(this.#share(start)));
      piece.style.setProperty("--to", String(this.#share(end)));
      if (!piece.isConnected) pieces.append(piece);
    });
  }

  #drawMarks(): void {
    const begins = this.#chapters.slice(1).filter(({ start }) => start < this.#standing.length);
    const marks = begins.map(({ start }) => {
      const mark = h("span");
      mark.style.setProperty("--from", String(this.#share(start)));
      return mark;
    });
    this.#marks.replaceChildren(...marks);
  }

  /** Returns the moment that lies under a pointer. */
  #under(event: PointerEvent): number {
    const { left, width } = this.range.getBoundingClientRect();
    const share = (event.clientX - left - THUMB_PX / 2) / Math.max(1, width - THUMB_PX);
    return Math.min(1, Math.max(0, share)) * this.#standing.length;
  }

  #point(seconds: number | null): void {
    this.#pointed = seconds;
    this.#drawPreview();
  }

  /** The moment that is looked at: by pointer or finger, else by the keys. */
  get #looked(): number | null {
    if (this.#pointed !== null) return this.#pointed;
    return this.range.matches(":focus-visible") ? this.#standing.now : null;
  }

  #drawPreview(): void {
    const seconds = this.#looked;
    show(this.#preview, seconds !== null && this.#standing.length > 0);
    if (seconds === null) return;
    void this.#board.fetch(door.headers).then(() => {
      if (this.#looked !== null) this.#drawPicture(this.#looked);
    });
    this.#preview.style.setProperty("--from", String(this.#share(seconds)));
    const isMade = seconds <= this.#standing.made + 0.5;
    const time = units.clock(Math.floor(seconds));
    text(this.#time, isMade ? time : w.notMadeAt(time));
    const chapter = chapterAt(this.#chapters, seconds);
    text(this.#chapter, chapter?.title ?? "");
    show(this.#chapter, !!chapter);
  }

  #drawPicture(seconds: number): void {
    const still = this.#board.at(seconds);
    show(this.#picture, !!still);
    if (!still) return;
    const { style } = this.#picture;
    style.setProperty("width", `${still.width}px`);
    style.setProperty("height", `${still.height}px`);
    style.setProperty("background-image", `url("${still.sheet}")`);
    style.setProperty("background-position", `-${still.x}px -${still.y}px`);
  }
}

/** Returns the chapter that a moment lies in, where there are several. */
export function chapterAt(chapters: readonly Chapter[], seconds: number): Chapter | null {
  if (chapters.length < 2) return null;
  return chapters.findLast(({ start }) => start <= seconds + 0.01) ?? null;
}
