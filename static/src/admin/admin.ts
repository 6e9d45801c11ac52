/**
 * `<slipway-admin>`: how the server does, for the person who runs it.
 *
 * Each section looks after itself; the page asks for the state of the whole, judges it, and passes
 * on what the server tells while it happens.
 */

import type { Section } from "../board/section";
import type { ServerEvent } from "../events";
import { h } from "../view";
import { words } from "../words";
import { About } from "./about";
import * as api from "./api";
import { Charts } from "./charts";
import { Cleanup, Stuck } from "./cleanup";
import { Disk } from "./disk";
import { Failures } from "./failures";
import { Happened } from "./happened";
import { Headline } from "./headline";
import { type Facts, judge } from "./health";
import { Line as Waiting } from "./line";
import { Live, type Line } from "./live";
import { Running } from "./running";
import { Tokens } from "./tokens";
import { Trash } from "./trash";
import { Uploads } from "./uploads";
import { Users } from "./users";
import { Webhooks } from "./webhooks";

const w = words.admin;
const STATUS_MS = 5_000;
/** After an event a look is due soon, but a burst of events is one look. */
const SOON_MS = 1_000;

export class SlipwayAdmin extends HTMLElement {
  #facts: Facts = { answers: true, status: null, audit: null, webhooks: [] };
  #line: Line = "down";
  #timer = 0;
  #isDue = false;
  #looking = false;
  readonly #around = { changed: () => this.#changed() };
  readonly #headline = new Headline();
  readonly #waiting = new Waiting(this.#around);
  readonly #disk = new Disk(this.#around, (audit) => this.#learn({ audit }));
  readonly #about = new About(this.#around);
  readonly #stuck = new Stuck(this.#around);
  readonly #sections: Section[] = [
    new Running(this.#around),
    this.#waiting,
    new Failures(this.#around),
    new Uploads(this.#around),
    this.#disk,
    new Charts(this.#around),
    new Happened(this.#around),
    this.#stuck,
    new Cleanup(this.#around, (reports) => this.#stuck.learn(reports)),
    new Trash(this.#around),
    new Webhooks(this.#around, (webhooks) => this.#learn({ webhooks })),
    new Users(this.#around),
    new Tokens(this.#around),
    this.#about,
  ];

  connectedCallback(): void {
    this.replaceChildren(
      h("div", { class: "page-head" }, h("h1", {}, w.title)),
      h(
        "div",
        { class: "board" },
        this.#headline.element,
        ...this.#sections.map((section) => section.element),
      ),
    );
    void this.#look();
    this.#lookAtAll();
    new Live({
      onEvent: (event) => this.#heard(event),
      onLine: (line) => {
        this.#line = line;
        this.#headline.line(line, this.#facts.status);
        // What happened before isn't told.
        if (line !== "down") this.#changed();
      },
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#changed();
    });
  }

  #lookAtAll(): void {
    for (const section of this.#sections) section.lookNow();
  }

  #changed(): void {
    this.#lookAtAll();
    this.#lookIn(0);
  }

  #heard(event: ServerEvent): void {
    for (const section of this.#sections) if (section.hears(event)) section.lookSoon();
    if (!event.type.endsWith(".progress")) this.#lookIn(SOON_MS);
  }

  /** Has the state be looked at in so much time, or when that was to be anyway if it is sooner. */
  #lookIn(ms: number): void {
    if (ms > 0 && this.#isDue) return;
    this.#isDue = ms < STATUS_MS;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    this.#isDue = false;
    // The one under way has the next one follow.
    if (this.#looking) return;
    this.#looking = true;
    try {
      const status = await api.status();
      this.#waiting.learn(status.queue);
      this.#disk.learn(status.disk);
      this.#about.learn(status);
      this.#headline.glance(status);
      this.#learn({ status, answers: true });
      this.#headline.line(this.#line, status);
    } catch {
      this.#learn({ answers: false });
    } finally {
      this.#looking = false;
      if (document.visibilityState === "visible") this.#lookIn(STATUS_MS);
    }
  }

  #learn(facts: Partial<Facts>): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#headline.judge(judge(this.#facts), this.#facts.status !== null);
  }
}
