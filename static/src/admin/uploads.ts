/** Uploads on their way: whose, how far, how fast. */

import { type Around, Section } from "../board/section";
import { cell, Moment, type Row, Table } from "../board/table";
import type { ServerEvent } from "../events";
import * as units from "../units";
import { h, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { videoCell } from "./owners";

const w = words.admin;
/** Samples closer together than this say little about a rate. */
const APART_MS = 1_500;
/** Without a byte for so long an upload stands still. */
const QUIET_MS = 10_000;

/** How fast one upload is, from what was seen of it. */
export class Rate {
  #bytes: number;
  #at: number;
  #movedAt: number;
  #rate: number | null = null;

  constructor(bytes: number, now: number) {
    this.#bytes = bytes;
    this.#at = now;
    this.#movedAt = now;
  }

  saw(bytes: number, now: number): void {
    const ms = now - this.#at;
    if (bytes > this.#bytes) this.#movedAt = now;
    if (ms < APART_MS) return;
    const last = (Math.max(0, bytes - this.#bytes) / ms) * 1000;
    this.#rate = this.#rate === null ? last : this.#rate * 0.5 + last * 0.5;
    this.#bytes = bytes;
    this.#at = now;
  }

  /** Bytes a second; null while it isn't known, 0 of one that stands still. */
  of(now: number): number | null {
    return now - this.#movedAt > QUIET_MS ? 0 : this.#rate;
  }
}

export class Uploads extends Section {
  #items: api.Upload[] = [];
  readonly #rates = new Map<string, Rate>();
  readonly #more = h("p", { class: "muted small", hidden: true });
  readonly #table = new Table<api.Upload>(
    w.uploads.title,
    [w.uploads.file, w.progress, w.uploads.received, w.uploads.rate, w.left, w.uploads.last],
    w.uploads.none,
    (upload) => upload.uploadId,
    () => this.#row(),
  );

  constructor(around: Around) {
    super("uploads", w.uploads.title, around, 3_000);
    this.element.append(this.#table.element, this.#more);
  }

  protected async look(): Promise<void> {
    const { items, total } = await api.uploads();
    this.#items = items;
    const known = new Set(items.map((upload) => upload.uploadId));
    for (const id of this.#rates.keys()) if (!known.has(id)) this.#rates.delete(id);
    for (const upload of items) this.#saw(upload.uploadId, upload.receivedBytes);
    this.#table.draw(items);
    show(this.#more, total > items.length);
    text(this.#more, w.uploads.more(total - items.length));
  }

  override hears(event: ServerEvent): boolean {
    if (event.type !== "upload.progress") return event.type.startsWith("upload.");
    const known = this.#items.find((one) => one.videoId === event.videoId);
    if (!known) return true;
    known.receivedBytes = event.receivedBytes;
    known.changedAt = new Date().toISOString();
    this.#saw(known.uploadId, event.receivedBytes);
    this.#table.draw(this.#items);
    return false;
  }

  #saw(id: string, bytes: number): void {
    const rate = this.#rates.get(id);
    if (rate) rate.saw(bytes, Date.now());
    else this.#rates.set(id, new Rate(bytes, Date.now()));
  }

  #row(): Row<api.Upload> {
    const name = videoCell();
    const bar = h("progress", { max: 1 });
    const [share, received, speed, left] = [h("span"), cell(), cell(), cell()];
    const last = new Moment();
    const draw = (upload: api.Upload) => {
      name.draw(upload.videoId, upload.filename, upload.owner);
      const { size, receivedBytes } = upload;
      show(bar, size !== null);
      bar.value = size ? receivedBytes / size : 0;
      bar.setAttribute("aria-label", words.upload.progressOf(upload.filename));
      text(share, size ? units.share(receivedBytes / size) : w.uploads.unknown);
      const [got, all] = [units.size(receivedBytes), size === null ? null : units.size(size)];
      text(received, all === null ? got : words.upload.of(got, all));
      const rate = this.#rates.get(upload.uploadId)?.of(Date.now()) ?? null;
      text(speed, rate === null ? "–" : rate > 0 ? units.rate(rate) : w.uploads.quiet);
      const known = size !== null && rate !== null && rate > 0;
      text(left, known ? units.span((size - receivedBytes) / rate) : "–");
      last.draw(upload.changedAt);
    };
    const progress = h("td", { class: "job-progress" }, bar, share);
    return { cells: [name.cell, progress, received, speed, left, cell(last.element)], draw };
  }
}
