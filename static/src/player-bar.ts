/** The player's buttons beneath the bar to seek on. They show what is, and pass on what is wanted. */

import { draw, redraw, type Drawing } from "./player-icons";
import { Menu, type List } from "./player-menu";
import * as units from "./units";
import { h, show, text } from "./view";
import { words } from "./words";

const w = words.player;

/** What the buttons do, and what is to choose from. */
export interface Deeds {
  toggle(): void;
  mute(): void;
  volume(value: number): void;
  apart(): void;
  full(): void;
  texts(): List;
  settings(): List;
  onMenu(): void;
}

/** What the buttons show. */
export interface Shown {
  state: "playing" | "paused" | "ended";
  now: number;
  length: number;
  chapter: string;
  muted: boolean;
  volume: number;
  texts: boolean;
  textsOn: boolean;
  apart: boolean;
  full: boolean;
}

export class Bar {
  readonly play: HTMLButtonElement;
  readonly #mute: HTMLButtonElement;
  readonly #volume = h("input", {
    type: "range",
    class: "volume",
    min: 0,
    max: 1,
    step: 0.05,
    "aria-label": w.volume,
  });
  readonly #now = h("span");
  readonly #length = h("span", { class: "length" });
  readonly #chapter = h("span", { class: "chapter", hidden: true });
  readonly #apart: HTMLButtonElement;
  readonly #full: HTMLButtonElement;
  readonly texts: Menu;
  readonly settings: Menu;
  readonly element: HTMLElement;

  constructor(deeds: Deeds) {
    this.play = key("play", w.play, () => deeds.toggle());
    this.#mute = key("loud", w.mute, () => deeds.mute());
    this.#apart = key("apart", w.apart, () => deeds.apart());
    this.#full = key("wide", w.full, () => deeds.full());
    this.texts = new Menu("captions", w.captions, () => deeds.texts(), () => deeds.onMenu());
    this.settings = new Menu("settings", w.settings, () => deeds.settings(), () => deeds.onMenu());
    this.#volume.addEventListener("input", () => deeds.volume(Number(this.#volume.value)));
    show(this.#apart, document.pictureInPictureEnabled === true);
    show(this.#full, canBeFull());
    this.element = h(
      "div",
      { class: "keys" },
      this.play,
      h("div", { class: "sound" }, this.#mute, this.#volume),
      h("span", { class: "time", dir: "ltr" }, this.#now, this.#length),
      this.#chapter,
      h("span", { class: "spring" }),
      this.texts.button,
      this.settings.button,
      this.#apart,
      this.#full,
    );
  }

  get menus(): Menu[] {
    return [this.texts, this.settings];
  }

  draw(shown: Shown): void {
    const [picture, said] = {
      playing: ["pause", w.pause] as const,
      paused: ["play", w.play] as const,
      ended: ["again", w.again] as const,
    }[shown.state];
    say(this.play, picture, said);
    text(this.#now, units.clock(Math.floor(shown.now)));
    text(this.#length, ` / ${units.clock(shown.length)}`);
    text(this.#chapter, shown.chapter);
    show(this.#chapter, shown.chapter !== "");
    const isQuiet = shown.muted || shown.volume === 0;
    say(this.#mute, isQuiet ? "quiet" : "loud", isQuiet ? w.unmute : w.mute);
    const volume = shown.muted ? 0 : shown.volume;
    this.#volume.value = String(volume);
    this.#volume.style.setProperty("--to", String(volume));
    this.#volume.setAttribute("aria-valuetext", units.share(volume));
    show(this.texts.button, shown.texts);
    this.texts.button.toggleAttribute("data-on", shown.textsOn);
    say(this.#apart, "apart", shown.apart ? w.together : w.apart);
    say(this.#full, shown.full ? "narrow" : "wide", shown.full ? w.unfull : w.full);
  }
}

function canBeFull(): boolean {
  // An iPhone shows films alone on its whole screen.
  return document.fullscreenEnabled || "webkitEnterFullscreen" in HTMLVideoElement.prototype;
}

function key(picture: Drawing, said: string, act: () => void): HTMLButtonElement {
  const made = h("button", { type: "button", class: "key" }, draw(picture));
  say(made, picture, said);
  made.addEventListener("click", act);
  return made;
}

function say(button: HTMLButtonElement, picture: Drawing, said: string): void {
  const svg = button.firstElementChild;
  if (svg instanceof SVGSVGElement) redraw(svg, picture);
  if (button.getAttribute("aria-label") === said) return;
  button.setAttribute("aria-label", said);
  button.title = said;
}
