/** What runs here, and how the children that open files are confined. */

import { type Around, Section } from "../board/section";
import * as units from "../units";
import { h, icon, text } from "../view";
import { words } from "../words";
import type { Status } from "./api";
import { LAYERS, layersOn } from "./health";

const w = words.admin.about;

export class About extends Section {
  readonly #facts = h("dl", { class: "about" });
  readonly #layers = h("ul", { class: "layers", "aria-label": w.sandbox });
  readonly #note = h("p", { class: "muted small" });

  constructor(around: Around) {
    super("about", w.title, around, 3_600_000);
    const sandbox = h("div", {}, h("h3", {}, w.sandbox), this.#layers, this.#note);
    this.element.append(h("div", { class: "halves" }, this.#facts, sandbox));
  }

  protected async look(): Promise<void> {
    // It learns from the status, which the page asks for.
  }

  learn(status: Status): void {
    const facts: [string, string][] = [
      [w.version, status.version],
      [w.ffmpeg, status.ffmpeg || "–"],
      [w.up, units.span(status.uptimeSeconds)],
      [w.since, units.moment(status.startedAt)],
    ];
    while (this.#facts.children.length < facts.length) {
      this.#facts.append(h("div", {}, h("dt"), h("dd")));
    }
    facts.forEach(([name, value], index) => {
      const [dt, dd] = this.#facts.children[index]?.children ?? [];
      if (dt) text(dt, name);
      if (dd) text(dd, value);
    });
    const on = layersOn(status);
    const said = [...on].join();
    if (this.#layers.dataset.said === said) return;
    this.#layers.dataset.said = said;
    this.#layers.replaceChildren(...LAYERS.map((layer) => layerItem(layer, on.has(layer))));
    const isWeak = LAYERS.some((layer) => !on.has(layer));
    this.#note.classList.toggle("bad", isWeak);
    const detail = status.sandbox.detail ?? "";
    text(this.#note, words.sentences(isWeak ? w.weak : w.strong, detail));
  }
}

function layerItem(layer: string, isOn: boolean): HTMLElement {
  return h(
    "li",
    { "data-on": isOn ? "yes" : "no" },
    icon(isOn ? "check" : "alert"),
    h("span", {}, w.layers[layer] ?? layer),
    h("strong", {}, isOn ? w.on : w.off),
  );
}
