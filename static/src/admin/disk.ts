/** The disk: what lies there by kind, what is free, and what is always kept free. */

import { type Around, Section } from "../board/section";
import { cell, type Row, Table } from "../board/table";
import * as units from "../units";
import { h, show, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { ownerName } from "./owners";
import { shape, svg } from "./svg";

const w = words.admin;
/** Width of the bar in its own units. */
const WIDE = 1000;
/** Owners that are named. */
const OWNERS = 5;

type Part = { name: string; kind: string; files: number | null; bytes: number };

export class Disk extends Section {
  #status: api.Status["disk"] | null = null;
  #audit: api.Audit | null = null;
  readonly #free = h("p", { class: "big" });
  readonly #note = h("p", { class: "muted small" });
  readonly #bar = svg("disk-bar", WIDE, 24);
  readonly #strange = h("ul", { class: "plain small" });
  readonly #measured = h("p", { class: "muted small" });
  readonly #kinds = new Table<Part>(
    w.disk.kinds,
    [w.disk.kind, w.disk.files, w.disk.size],
    w.disk.measuring,
    (part) => part.kind,
    () => partRow(),
  );
  readonly #owners = new Table<Part>(
    w.disk.owners,
    [w.owner, w.disk.size],
    w.disk.nobody,
    (part) => part.kind,
    () => ownerRow(),
  );

  constructor(
    around: Around,
    private readonly learned: (audit: api.Audit) => void,
  ) {
    super("disk", w.disk.title, around, 60_000);
    this.tools.append(this.action("retry", w.disk.measure, () => this.#measure(true)));
    this.#bar.setAttribute("preserveAspectRatio", "none");
    this.#bar.setAttribute("aria-hidden", "true");
    this.element.append(
      this.#free,
      this.#bar,
      this.#note,
      h("div", { class: "halves" }, this.#kinds.element, this.#owners.element),
      this.#strange,
      this.#measured,
    );
  }

  protected async look(): Promise<void> {
    await this.#measure(false);
  }

  async #measure(refresh: boolean): Promise<void> {
    const { audit } = await api.storage(refresh);
    if (!audit) return;
    this.#audit = audit;
    this.learned(audit);
    this.#draw();
  }

  /** Hears how much room there is. */
  learn(disk: api.Status["disk"]): void {
    this.#status = disk;
    text(this.#free, w.disk.of(units.size(disk.freeBytes), units.size(disk.totalBytes)));
    const isLow = disk.freeBytes <= disk.reserveBytes;
    this.#note.classList.toggle("bad", isLow);
    text(this.#note, isLow ? w.disk.low : w.disk.reserve(units.size(disk.reserveBytes)));
    this.#draw();
  }

  #draw(): void {
    const parts = this.#audit ? partsOf(this.#audit) : [];
    this.#kinds.draw(parts);
    const owners = this.#audit?.owners.slice(0, OWNERS) ?? [];
    this.#owners.draw(
      owners.map(({ owner, bytes }) => ({ name: ownerName(owner), kind: owner, files: null, bytes })),
    );
    if (this.#status) this.#drawBar(this.#status, parts);
    if (!this.#audit) return;
    const { orphans, missingOriginals, missingMedia, finishedAt } = this.#audit;
    const strange = [
      missingOriginals.count > 0 && w.disk.missingOriginals(missingOriginals.count),
      missingMedia.count > 0 && w.disk.missingMedia(missingMedia.count),
      orphans.count > 0 && w.disk.orphans(orphans.count, units.size(orphans.bytes)),
    ].filter((line): line is string => line !== false);
    const said = strange.join("\n");
    show(this.#strange, strange.length > 0);
    if (this.#strange.dataset.said !== said) {
      this.#strange.dataset.said = said;
      this.#strange.replaceChildren(...strange.map((line) => h("li", { class: "bad" }, line)));
    }
    text(this.#measured, w.disk.measured(units.ago(finishedAt)));
  }

  #drawBar(disk: api.Status["disk"], parts: Part[]): void {
    const width = (bytes: number) => (bytes / Math.max(1, disk.totalBytes)) * WIDE;
    const used = disk.totalBytes - disk.freeBytes;
    const ours = parts.reduce((sum, part) => sum + part.bytes, 0);
    const segments = [
      ...parts.map((part) => [part.kind, part.bytes] as const),
      ["others", Math.max(0, used - ours)] as const,
    ];
    let x = 0;
    const shapes = segments.map(([kind, bytes]) => {
      const piece = shape("rect", { class: `of-${kind}`, x, y: 0, width: width(bytes), height: 24 });
      x += width(bytes);
      return piece;
    });
    const reserve = width(disk.reserveBytes);
    shapes.push(
      shape("rect", { class: "of-reserve", x: WIDE - reserve, y: 0, width: reserve, height: 24 }),
    );
    this.#bar.replaceChildren(...shapes);
  }
}

function partsOf(audit: api.Audit): Part[] {
  return api.KINDS.map((kind) => {
    const weight = kind === "work" ? audit.work : audit.total[kind];
    return { name: w.disk.names[kind], kind, ...weight };
  });
}

function partRow(): Row<Part> {
  const [name, swatch] = [h("span"), h("span", { class: "swatch", "aria-hidden": "true" })];
  const [files, size] = [cell(), cell()];
  const draw = (part: Part) => {
    swatch.dataset.kind = part.kind;
    text(name, part.name);
    text(files, part.files === null ? "–" : units.number(part.files, 0));
    text(size, units.size(part.bytes));
  };
  return { cells: [h("th", { scope: "row" }, swatch, name), files, size], draw };
}

function ownerRow(): Row<Part> {
  const [name, size] = [h("th", { scope: "row" }), cell()];
  const draw = (part: Part) => {
    text(name, part.name);
    text(size, units.size(part.bytes));
  };
  return { cells: [name, size], draw };
}

