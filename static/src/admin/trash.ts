/** What was deleted and can be brought back. */

import { restoreVideo } from "../api";
import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import { confirmLoss } from "../details";
import type { ServerEvent } from "../events";
import * as units from "../units";
import { button, say, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { videoCell } from "./owners";

const w = words.admin.trash;
type Item = api.Trashed & { owner?: string };

export class Trash extends Section {
  #items: Item[] = [];
  #cursor: string | null = null;
  readonly #more = button(null, words.library.more, (it) => void this.act(it, () => this.#next()), {
    class: "button small",
    hidden: true,
  });
  readonly #empty = this.action("trash", w.empty, () => this.#removeAll(), {
    class: "button small",
    hidden: true,
  });
  readonly #table = new Table<Item>(
    w.title,
    [words.admin.video, w.size, w.deleted, w.removed, words.admin.actions],
    w.none,
    (video) => video.id,
    (video) => this.#row(video),
  );

  constructor(around: Around) {
    super("trash", w.title, around, 60_000);
    this.tools.append(this.#empty);
    this.element.append(this.#table.element, this.#more);
  }

  protected async look(): Promise<void> {
    const page = await api.trash(null);
    // Pages behind the first stay as they are; what has left them is told by the next action.
    const first = new Set(page.items.map((video) => video.id));
    const oldest = page.items.at(-1)?.id ?? "";
    const behind = page.nextCursor
      ? this.#items.filter((video) => !first.has(video.id) && video.id < oldest)
      : [];
    if (behind.length === 0) this.#cursor = page.nextCursor;
    this.#items = [...page.items, ...behind];
    this.#draw();
  }

  override hears(event: ServerEvent): boolean {
    return event.type === "video.state" && (event.video === null || event.video === undefined);
  }

  #draw(): void {
    this.#table.draw(this.#items);
    show(this.#more, this.#cursor !== null);
    show(this.#empty, this.#items.length > 0);
  }

  async #next(): Promise<void> {
    const page = await api.trash(this.#cursor);
    this.#cursor = page.nextCursor;
    this.#items = [...this.#items, ...page.items];
    this.#draw();
  }

  #gone(id: string): void {
    this.#items = this.#items.filter((video) => video.id !== id);
    this.#draw();
  }

  async #removeAll(): Promise<void> {
    if (!(await confirmLoss(w.emptyTitle, w.emptyDetail, w.empty, w.keep))) return;
    for (;;) {
      const { items } = await api.trash(null);
      if (items.length === 0) break;
      for (const video of items) await api.removeForGood(video.id);
    }
    this.#items = [];
    this.#cursor = null;
    this.#draw();
    say(w.emptied);
  }

  #row(first: Item): Row<Item> {
    const name = videoCell();
    const [deleted, removed, size] = [new Moment(), new Moment(), cell()];
    const { id, title } = first;
    const back = this.action("retry", w.restore, async () => {
      await restoreVideo(id);
      this.#gone(id);
      say(w.restored(title));
    });
    const remove = this.action("trash", w.remove, async () => {
      if (!(await confirmLoss(w.removeTitle(title), w.removeDetail, w.remove, w.keep))) return;
      await api.removeForGood(id);
      this.#gone(id);
    });
    back.setAttribute("aria-label", words.labelled(w.restore, title));
    remove.setAttribute("aria-label", words.labelled(w.remove, title));
    const draw = (video: Item) => {
      // There is nothing to watch of it.
      name.draw(null, video.title, video.owner);
      text(size, video.size ? units.size(video.size) : "–");
      deleted.draw(video.trash.deletedAt);
      removed.draw(video.trash.removedAt);
    };
    const cells = [
      name.cell,
      size,
      cell(deleted.element),
      cell(removed.element),
      buttons(back, remove),
    ];
    return { cells, draw };
  }
}
