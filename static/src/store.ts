/** The files of the upload page, and what is kept of each. Nothing about one changes but here. */

import type { Item } from "./item";
import { newItem, newWork, type Work } from "./work";

export class Store {
  readonly items: Item[] = [];
  #work = new Map<number, Work>();
  #listeners = new Set<(item: Item | null) => void>();
  #nextKey = 1;

  /** Calls `listener` after every change: with the item, or with null when the list changed. */
  onChange(listener: (item: Item | null) => void): void {
    this.#listeners.add(listener);
  }

  /** Adds a file that is sent in pieces of `chunkBytes` at first. Listeners aren't told. */
  create(name: string, size: number, file: File | null, chunkBytes: number): Item {
    const item = newItem(this.#nextKey++, name, size, file);
    this.#work.set(item.key, newWork(chunkBytes));
    this.items.push(item);
    return item;
  }

  /** Takes a file off the page. */
  drop(item: Item): void {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    this.#work.delete(item.key);
    this.changed(null);
  }

  /** Says whether a file is still on the page. */
  has(item: Item): boolean {
    return this.#work.has(item.key);
  }

  of(item: Item): Work {
    const work = this.#work.get(item.key);
    if (!work) throw new Error("an item that was removed can't be worked on");
    return work;
  }

  set(item: Item, change: Partial<Item>): void {
    Object.assign(item, change);
    this.changed(item);
  }

  changed(item: Item | null): void {
    for (const listener of this.#listeners) listener(item);
  }
}
