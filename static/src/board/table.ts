/** Tables that are drawn again and again without disturbing what somebody is using in them. */

import * as units from "../units";
import { firstControl, focusIn, h, keepFocus, show, text } from "../view";

/** One row: its cells in the order of the columns, and how they follow the item. */
export interface Row<T> {
  cells: HTMLElement[];
  draw(item: T): void;
}

/**
 * A table that is a list of cards where it's narrow. The roles are named, because browsers forget
 * them with another `display`.
 */
export class Table<T> {
  readonly element: HTMLElement;
  readonly #body = h("tbody", { role: "rowgroup" });
  readonly #table: HTMLTableElement;
  readonly #empty: HTMLElement;
  #rows = new Map<string, { element: HTMLTableRowElement; row: Row<T> }>();

  constructor(
    label: string,
    private readonly columns: string[],
    empty: string,
    private readonly key: (item: T) => string,
    private readonly make: (item: T, element: HTMLTableRowElement) => Row<T>,
  ) {
    const head = columns.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
    this.#table = h(
      "table",
      { role: "table", "aria-label": label },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
      this.#body,
    );
    this.#empty = h("p", { class: "muted" }, empty);
    show(this.#table, false);
    show(this.#empty, false);
    this.element = h("div", { class: "table-box" }, this.#table, this.#empty);
  }

  draw(items: T[]): void {
    // A row that moves would lose the focus that is in it.
    void keepFocus(this.#body, () => this.#draw(items));
  }

  #draw(items: T[]): void {
    show(this.#table, items.length > 0);
    show(this.#empty, items.length === 0);
    const gone = new Map(this.#rows);
    let before: Element | null = this.#body.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      gone.delete(key);
      const { element, row } = this.#rows.get(key) ?? this.#begin(key, item);
      row.draw(item);
      if (element === before) before = before.nextElementSibling;
      else this.#body.insertBefore(element, before);
    }
    for (const [key, { element }] of gone) {
      this.#rows.delete(key);
      leave(element);
    }
  }

  #begin(key: string, item: T): { element: HTMLTableRowElement; row: Row<T> } {
    const element = h("tr", { role: "row" });
    const row = this.make(item, element);
    row.cells.forEach((cell, index) => {
      cell.dataset.label = this.columns[index] ?? "";
      cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
      element.append(cell);
    });
    this.#rows.set(key, { element, row });
    return { element, row };
  }
}

/** Takes a row away; a focus in it goes to the same button of the next one, or of the one before. */
function leave(row: HTMLElement): void {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  const card = row.closest<HTMLElement>("section");
  const at = [...row.querySelectorAll("button")].indexOf(focusIn(row) as HTMLButtonElement);
  const same = () => next?.querySelectorAll("button")[Math.max(0, at)];
  void keepFocus(row, () => row.remove(), same, () => firstControl(next), () => card);
}

/** A moment as people say it, with the exact one for whoever asks. */
export class Moment {
  readonly element = h("time");

  draw(at: string | null | undefined): void {
    text(this.element, at ? units.ago(at) : "–");
    if (!at || this.element.dateTime === at) return;
    this.element.dateTime = at;
    this.element.title = units.moment(at);
  }
}

/** Returns a cell around some elements. */
export const cell = (...inside: (Node | string)[]) => h("td", {}, ...inside);
/** Returns the cell that holds a row's buttons. */
export const buttons = (...inside: Node[]) =>
  h("td", { class: "row-actions" }, h("div", { class: "actions" }, ...inside));
