/** The keys that the player knows, while it has the focus; and the page that lists them. */

import { h } from "./view";
import { words } from "./words";

const w = words.player.keys;

/** What keys do. */
export interface Acts {
  toggle(): void;
  skip(seconds: number): void;
  seekTo(share: number): void;
  louder(by: number): void;
  mute(): void;
  full(): void;
  captions(): void;
  faster(by: 1 | -1): void;
  apart(): void;
  help(): void;
}

interface Binding {
  keys: string[];
  /** How the keys are written in the list. */
  shown: string[];
  said: string;
  act(acts: Acts, key: string): void;
}

const DIGITS = [..."0123456789"];

const bindings: Binding[] = [
  { keys: [" ", "k"], shown: [w.space, "K"], said: w.toggle, act: (it) => it.toggle() },
  { keys: ["arrowleft"], shown: ["←"], said: w.back(5), act: (it) => it.skip(-5) },
  { keys: ["arrowright"], shown: ["→"], said: w.on(5), act: (it) => it.skip(5) },
  { keys: ["j"], shown: ["J"], said: w.back(10), act: (it) => it.skip(-10) },
  { keys: ["l"], shown: ["L"], said: w.on(10), act: (it) => it.skip(10) },
  {
    keys: DIGITS,
    shown: ["0 – 9"],
    said: w.digits,
    act: (it, key) => it.seekTo(Number(key) / 10),
  },
  { keys: ["home"], shown: [w.home], said: w.beginning, act: (it) => it.seekTo(0) },
  { keys: ["end"], shown: [w.end], said: w.ending, act: (it) => it.seekTo(1) },
  { keys: ["arrowup"], shown: ["↑"], said: w.louder, act: (it) => it.louder(0.05) },
  { keys: ["arrowdown"], shown: ["↓"], said: w.quieter, act: (it) => it.louder(-0.05) },
  { keys: ["m"], shown: ["M"], said: w.mute, act: (it) => it.mute() },
  { keys: ["c"], shown: ["C"], said: w.captions, act: (it) => it.captions() },
  { keys: ["f"], shown: ["F"], said: w.full, act: (it) => it.full() },
  { keys: ["i"], shown: ["I"], said: w.apart, act: (it) => it.apart() },
  { keys: ["<"], shown: ["<"], said: w.slower, act: (it) => it.faster(-1) },
  { keys: [">"], shown: [">"], said: w.faster, act: (it) => it.faster(1) },
  { keys: ["?"], shown: ["?"], said: w.help, act: (it) => it.help() },
];

/** Does what a key means; what an element under the focus needs itself is left to it. */
export function press(event: KeyboardEvent, acts: Acts): boolean {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return false;
  const key = event.key.toLowerCase();
  const target = event.composedPath()[0];
  if (key === " " && target instanceof HTMLButtonElement) return false;
  const isRange = target instanceof HTMLInputElement;
  if (isRange && target.classList.contains("range")) {
    // The bar's own steps would be of any size.
    const steps: Record<string, number> = { arrowup: 5, arrowdown: -5, pageup: 30, pagedown: -30 };
    const by = steps[key];
    if (by !== undefined) {
      acts.skip(by);
      return true;
    }
  } else if (isRange && /^(arrow|home|end)/.test(key)) return false;
  const found = bindings.find(({ keys }) => keys.includes(key));
  found?.act(acts, key);
  return !!found;
}

/** Makes the list of keys, as a dialog. */
export function helpPage(): HTMLDialogElement {
  const close = h(
    "button",
    { type: "button", class: "key close", "aria-label": w.close, title: w.close },
    h("span", { "aria-hidden": "true" }, "×"),
  );
  const rows = bindings.map(({ shown, said }) =>
    h(
      "div",
      {},
      h("dt", {}, ...shown.map((key) => h("kbd", {}, key))),
      h("dd", {}, said),
    ),
  );
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "keys" },
    h("div", { class: "help-head" }, h("h2", { id: "keys" }, w.title), close),
    h("dl", {}, ...rows),
  );
  close.addEventListener("click", () => dialog.close());
  return dialog;
}
