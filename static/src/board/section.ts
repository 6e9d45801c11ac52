/** A part of the page that looks after itself: asks, draws, asks again, says what went wrong. */

import type { ServerEvent } from "../events";
import { told } from "../trouble";
import { button, h, keepFocus, show, text, type IconName } from "../view";

/** What any section needs of the page around it. */
export interface Around {
  /** Something was changed: everybody looks again. */
  changed(): void;
}

/** However much happens, a section asks no more often. */
const PAUSE_MS = 1_000;

export abstract class Section {
  readonly element: HTMLElement;
  /** What stands beside the heading. */
  protected readonly tools = h("div", { class: "actions" });
  readonly #problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  #timer = 0;
  #looking = false;
  #lookedAt = 0;
  #isAgain = false;

  constructor(
    readonly id: string,
    title: string,
    protected readonly around: Around,
    private readonly everyMs: number,
    wide = true,
  ) {
    this.element = h(
      "section",
      { id, class: wide ? "card wide" : "card", "aria-label": title, tabindex: -1 },
      h("div", { class: "card-head" }, h("h2", {}, title), this.tools),
      this.#problem,
    );
  }

  /** Asks and draws. */
  protected abstract look(): Promise<void>;

  /** Says whether an event makes what is shown old. */
  hears(_event: ServerEvent): boolean {
    return false;
  }

  /** Looks again soon; many wishes are one look. */
  lookSoon(): void {
    this.#lookIn(Math.max(0, this.#lookedAt + PAUSE_MS - Date.now()));
  }

  /** Looks again at once, and once more if a look is under way that may know less. */
  lookNow(): void {
    this.#lookIn(0);
  }

  #lookIn(ms: number): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#run(), ms);
  }

  async #run(): Promise<void> {
    if (this.#looking) {
      this.#isAgain = true;
      return;
    }
    this.#looking = true;
    this.#lookedAt = Date.now();
    try {
      await keepFocus(this.element, () => this.look(), () => this.element);
      if (this.#problem.dataset.of === "look") this.said(null);
    } catch (problem) {
      this.said(problem, "look");
    } finally {
      this.#looking = false;
      const again = this.#isAgain;
      this.#isAgain = false;
      if (document.visibilityState === "visible") this.#lookIn(again ? 0 : this.everyMs);
    }
  }

  /** Makes a button for something that changes the server's state. */
  protected action(
    name: IconName | null,
    said: string,
    does: () => Promise<unknown>,
    props: Record<string, unknown> = {},
  ): HTMLButtonElement {
    const quiet = { class: "button quiet small", ...props };
    return button(name, said, (it) => void this.act(it, does), quiet);
  }

  /** Does something once for each press, and says what went wrong. */
  protected async act(it: HTMLElement, does: () => Promise<unknown>): Promise<void> {
    if (it.getAttribute("aria-disabled") === "true") return;
    // Not `disabled`: that would take the focus away.
    it.setAttribute("aria-disabled", "true");
    try {
      await does();
      this.said(null);
    } catch (problem) {
      this.said(problem, "act");
    } finally {
      it.removeAttribute("aria-disabled");
      this.around.changed();
    }
  }

  private said(problem: unknown, of = ""): void {
    this.#problem.dataset.of = of;
    text(this.#problem, problem === null ? "" : told(problem));
    show(this.#problem, problem !== null);
  }
}
