/** What was done in the last hour and day, as bars; each chart is a table, too. */

import { type Around, Section } from "../board/section";
import * as units from "../units";
import { h, text } from "../view";
import { words } from "../words";
import * as api from "./api";
import { shape, svg } from "./svg";

const w = words.admin.charts;
const STEP_MS = 600_000;
const [WIDE, HIGH, LEFT, BASE] = [480, 150, 4, 128];

/** What a chart shows of the steps that one bar stands for. */
interface Kind {
  name: keyof typeof w.names;
  of(steps: api.Step[]): number;
  said(value: number): string;
}

const sum = (steps: api.Step[], of: (step: api.Step) => number) =>
  steps.reduce((all, step) => all + of(step), 0);

const KINDS: Kind[] = [
  {
    name: "uploads",
    of: (steps) => sum(steps, (step) => step.uploads),
    said: (value) => units.number(value, 0),
  },
  {
    name: "bytes",
    of: (steps) => sum(steps, (step) => step.uploadedBytes),
    said: (value) => units.size(value),
  },
  {
    name: "speed",
    of: (steps) => {
      const work = sum(steps, (step) => step.workSeconds);
      return work > 0 ? sum(steps, (step) => step.filmSeconds) / work : 0;
    },
    said: (value) => (value > 0 ? words.admin.speedOf(units.number(value, 1)) : "–"),
  },
  {
    name: "wait",
    of: (steps) => Math.max(0, ...steps.map((step) => step.waitedSeconds)),
    said: (value) => (value > 0 ? units.span(value) : "0"),
  },
];

/** One bar: when it begins, and the steps in it. */
interface Bucket {
  at: Date;
  steps: api.Step[];
}

/** The stretches that can be chosen: how many bars, of how many steps each. */
const SPANS = { hour: { bars: 6, each: 1 }, day: { bars: 24, each: 6 } } as const;
type Span = keyof typeof SPANS;

/** Returns the bars up to `now`, those in which nothing was done among them. */
export function buckets(steps: readonly api.Step[], span: Span, now: number): Bucket[] {
  const { bars, each } = SPANS[span];
  const last = Math.floor(now / STEP_MS);
  const made: Bucket[] = [];
  for (let n = bars - 1; n >= 0; n -= 1) {
    const until = last + 1 - n * each;
    const at = (until - each) * STEP_MS;
    const within = steps.filter((step) => {
      const began = Date.parse(step.at);
      return began >= at && began < until * STEP_MS;
    });
    made.push({ at: new Date(at), steps: within });
  }
  return made;
}

export class Charts extends Section {
  #span: Span = "hour";
  #steps: api.Step[] = [];
  readonly #charts = KINDS.map((kind) => new Chart(kind));

  constructor(around: Around) {
    super("charts", w.title, around, 60_000);
    const choice = h("div", { class: "segmented", role: "group", "aria-label": w.span });
    for (const span of ["hour", "day"] as const) {
      const pressed = span === this.#span;
      const one = h("button", { type: "button", "aria-pressed": pressed ? "true" : "false" });
      text(one, w[span]);
      one.addEventListener("click", () => {
        this.#span = span;
        for (const other of choice.children) {
          other.setAttribute("aria-pressed", String(other === one));
        }
        this.#draw();
      });
      choice.append(one);
    }
    this.tools.append(choice);
    const charts = this.#charts.map((chart) => chart.element);
    this.element.append(h("div", { class: "charts" }, ...charts));
  }

  protected async look(): Promise<void> {
    this.#steps = (await api.steps()).steps;
    this.#draw();
  }

  #draw(): void {
    const bars = buckets(this.#steps, this.#span, Date.now());
    for (const chart of this.#charts) chart.draw(bars, this.#span);
  }
}

class Chart {
  readonly element: HTMLElement;
  readonly #sum = h("span", { class: "chart-now" });
  readonly #drawing = svg("chart", WIDE, HIGH);
  readonly #rows = h("tbody");

  constructor(private readonly kind: Kind) {
    const name = w.names[kind.name];
    this.#drawing.setAttribute("role", "img");
    this.#drawing.setAttribute("aria-label", name);
    this.element = h(
      "figure",
      {},
      h("figcaption", {}, h("span", {}, name), this.#sum),
      this.#drawing,
      h(
        "details",
        {},
        h("summary", { class: "small" }, w.table, h("span", { class: "unseen" }, ` ${name}`)),
        h(
          "table",
          { "aria-label": name },
          h(
            "thead",
            {},
            h("tr", {}, h("th", { scope: "col" }, w.from), h("th", { scope: "col" }, name)),
          ),
          this.#rows,
        ),
      ),
    );
  }

  draw(bars: Bucket[], span: Span): void {
    const { kind } = this;
    const values = bars.map((bar) => kind.of(bar.steps));
    const all = kind.of(bars.flatMap((bar) => bar.steps));
    const most = Math.max(...values);
    text(this.#sum, kind.said(all));
    const name = w.names[kind.name];
    this.#drawing.setAttribute(
      "aria-label",
      w.summary(name, w[span], kind.said(all), kind.said(most)),
    );
    const each = (WIDE - LEFT) / bars.length;
  
    const shapes: SVGElement[] = [
      shape("line", { class: "axis", x1: 0, y1: BASE, x2: WIDE, y2: BASE }),
    ];
    if (most > 0) {
      shapes.push(
        shape("line", { class: "grid", x1: 0, y1: 22, x2: WIDE, y2: 22 }),
        shape("text", { class: "tick", x: 0, y: 14 }, kind.said(most)),
      );
    }
    values.forEach((value, index) => {
      const bar = bars[index];
      if (!bar) return;
      const height = most > 0 ? Math.max(value > 0 ? 2 : 0, (value / most) * (BASE - 22)) : 0;
      const x = LEFT + index * each;
      const told = words.labelled(units.timeOfDay(bar.at), kind.said(value));
      const place = { x: x + each * 0.12, y: BASE - height, width: each * 0.76, height, rx: 2 };
      shapes.push(shape("rect", { class: "bar", ...place }, told));
      if (index % Math.ceil(bars.length / 6) === 0) {
        const at = { class: "tick", x: x + each * 0.12, y: BASE + 17 };
        shapes.push(shape("text", at, units.timeOfDay(bar.at)));
      }
    });
    this.#drawing.replaceChildren(...shapes);
    const row = (bar: Bucket, index: number) =>
      h("tr", {}, h("th", { scope: "row" }, units.timeOfDay(bar.at)), h("td", {}, kind.said(values[index] ?? 0)));
    this.#rows.replaceChildren(...bars.map(row).reverse());
  }
}
