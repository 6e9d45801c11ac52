/**
 * The list of rows: all of them while they are few, else only those near what is seen, so that ten
 * thousand files cost no more than thirty. Rows that somebody works in stay in any case.
 */

import type { Item } from "./item";
import type { Queue } from "./queue";
import { Row } from "./row";
import { firstControl, h, keepFocus } from "./view";
import { words } from "./words";

/** Beyond so many, rows that aren't seen aren't drawn. */
const ALL_MAX = 100;
const GAP = 12;
/** Until one has been measured. */
const USUAL_HEIGHT = 150;

export class Rows {
  readonly element = h("ul", { class: "rows", "aria-label": words.upload.list });
  #rows = new Map<number, Row>();
  #heights = new Map<number, number>();
  /** Where each row begins, and where the last one ends; of a long list only. */
  #tops: number[] = [];
  #items: readonly Item[] = [];
  #frame = 0;
  #sizes = new ResizeObserver((entries) => this.#measured(entries));

  constructor(private readonly queue: Queue) {}

  /** Begins to follow what is seen, until `signal` ends it. */
  listen(signal: AbortSignal): void {
    const look = () => {
      if (this.#isLong) this.#frame ||= requestAnimationFrame(() => this.#place());
    };
    // Whatever scrolls around the list, the page or a part of it.
    window.addEventListener("scroll", look, { capture: true, passive: true, signal });
    window.addEventListener("resize", look, { signal });
  }

  /** Takes another list of items; a focus in a row that is gone goes to the next one. */
  arrange(items: readonly Item[]): void {
    this.#items = [...items];
    const keys = new Set(items.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
      void keepFocus(row.element, () => this.#drop(key), () => firstControl(next));
    }
    for (const key of this.#heights.keys()) if (!keys.has(key)) this.#heights.delete(key);
    this.#place();
  }

  /** Draws those of the items that have a row just now. */
  draw(items: Iterable<Item>): void {
    for (const item of items) this.#rows.get(item.key)?.draw();
  }

  get #isLong(): boolean {
    return this.#items.length > ALL_MAX;
  }

  #drop(key: number): void {
    const row = this.#rows.get(key);
    if (!row) return;
    this.#sizes.unobserve(row.element);
    row.end();
    this.#rows.delete(key);
  }

  /** Sees to it that the right rows are there, in their order and in their places. */
  #place(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.element.classList.toggle("long", this.#isLong);
    const shown = this.#isLong ? this.#shown() : this.#items.map((_, at) => at);
    const keys = new Set(shown.map((at) => this.#items[at]?.key));
    for (const key of [...this.#rows.keys()]) if (!keys.has(key)) this.#drop(key);
    let after: Element | null = null;
    for (const at of shown) {
      const item = this.#items[at];
      if (!item) continue;
      const { element } = this.#rows.get(item.key) ?? this.#make(item);
      const right: Element | null = after
        ? after.nextElementSibling
        : this.element.firstElementChild;
      if (right !== element) this.element.insertBefore(element, right);
      after = element;
      this.#put(element, at);
    }
    const height = this.#isLong ? `${(this.#tops.at(-1) ?? GAP) - GAP}px` : "";
    this.element.style.setProperty("height", height);
  }

  #put(element: HTMLElement, at: number): void {
    element.style.setProperty("top", this.#isLong ? `${this.#tops[at]}px` : "");
    if (this.#isLong) {
      element.setAttribute("aria-setsize", String(this.#items.length));
      element.setAttribute("aria-posinset", String(at + 1));
    } else {
      element.removeAttribute("aria-setsize");
      element.removeAttribute("aria-posinset");
    }
  }

  #make(item: Item): Row {
    const row = new Row(item, this.queue);
    this.#rows.set(item.key, row);
    this.#sizes.observe(row.element);
    row.draw();
    return row;
  }

  /** Returns which items are near what is seen, or are in use. */
  #shown(): number[] {
    const usual = this.#usualHeight();
    this.#tops = [0];
    for (const [at, { key }] of this.#items.entries()) {
      const height = this.#heights.get(key) ?? usual;
      this.#tops.push((this.#tops[at] ?? 0) + height + GAP);
    }
    const { top } = this.element.getBoundingClientRect();
    const first = this.#at(-top - window.innerHeight / 2);
    const last = this.#at(-top + window.innerHeight * 1.5);
    const shown = new Set<number>();
    for (let at = first; at <= last; at += 1) shown.add(at);
    const numbers = new Map(this.#items.map(({ key }, at) => [key, at]));
    for (const [key, row] of this.#rows) {
      const at = row.isInUse ? numbers.get(key) : undefined;
      if (at !== undefined) shown.add(at);
    }
    return [...shown].sort((a, b) => a - b);
  }

  #usualHeight(): number {
    let sum = 0;
    for (const height of this.#heights.values()) sum += height;
    return this.#heights.size > 0 ? sum / this.#heights.size : USUAL_HEIGHT;
  }

  /** Returns the item that lies so far below the list's beginning. */
  #at(y: number): number {
    let low = 0;
    let high = this.#items.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#tops[middle] ?? 0) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #measured(entries: readonly ResizeObserverEntry[]): void {
    let isOther = false;
    const keys = new Map([...this.#rows].map(([key, row]) => [row.element as Element, key]));
    for (const { target } of entries) {
      const key = keys.get(target);
      const { height } = target.getBoundingClientRect();
      if (key === undefined || this.#heights.get(key) === height) continue;
      this.#heights.set(key, height);
      isOther = true;
    }
    if (isOther && this.#isLong) this.#frame ||= requestAnimationFrame(() => this.#place());
  }
}
