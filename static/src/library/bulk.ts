/** What is done to many videos at once, how far it is, and how to take it back. */

import * as api from "../api";
import { confirmLoss } from "../details";
import { button, h, keepFocus, say, show, text } from "../view";
import { words } from "../words";

const w = words.library;
/** Requests at once. */
const AT_ONCE = 4;

/** Does something to each, a few at once; returns those that it worked for, and the first reason. */
export async function each<T>(
  items: readonly T[],
  does: (item: T) => Promise<unknown>,
  told: (done: number) => void = () => undefined,
): Promise<{ done: T[]; why: unknown }> {
  const waiting = [...items];
  const done: T[] = [];
  let [ended, why] = [0, null as unknown];
  const work = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      try {
        await does(item);
        done.push(item);
      } catch (problem) {
        why ??= problem;
      }
      ended += 1;
      told(ended);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { done, why };
}

/** What the bar asks of the list. */
export interface Selection {
  videos(): api.Video[];
  all(): void;
  none(): void;
  /** These are gone, and can be brought back. */
  removed(videos: api.Video[]): void;
  changed(videos: api.Video[]): void;
  /** Takes the focus where somebody was in the list. */
  focus(): void;
  restored(videos: api.Video[]): void;
}

export class Bulk {
  readonly element: HTMLElement;
  /** What was done, beside a way back. */
  readonly done = h("div", { class: "done-bar", hidden: true });
  readonly #count = h("strong", { role: "status" });
  readonly #visibility = h("select", { "aria-label": w.visibility });
  readonly #problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  /** Deleted videos can be restored. */
  canUndo = false;
  #isBusy = false;

  constructor(private readonly selection: Selection) {
    for (const [value, name] of Object.entries(words.edit.visibilities)) {
      this.#visibility.append(h("option", { value }, name));
    }
    const act = (does: () => Promise<void>) => () => void this.#alone(does);
    const small = { class: "button small" };
    this.element = h(
      "section",
      { class: "bulk", "aria-label": w.bulk, hidden: true },
      this.#count,
      button(null, w.selectAll, () => selection.all(), small),
      button(null, w.unselect, () => selection.none(), small),
      h(
        "div",
        { class: "actions" },
        this.#visibility,
        button(null, w.apply, act(() => this.#share()), {
          ...small,
          "aria-label": words.labelled(w.apply, w.visibility),
        }),
        button("retry", w.retry, act(() => this.#retry()), small),
        button("trash", w.remove, act(() => this.remove(selection.videos())), small),
      ),
      this.#problem,
    );
  }

  /** Shows how many are selected. */
  draw(count: number): void {
    show(this.element, count > 0);
    if (!this.#isBusy) text(this.#count, w.selected(count));
    if (count === 0) show(this.#problem, false);
  }

  /** Deletes videos, after asking if nothing brings them back. */
  async remove(videos: api.Video[]): Promise<void> {
    if (!this.canUndo) {
      const [only] = videos;
      const title = videos.length === 1 && only ? w.removeTitle(only.title) : w.removeMany(videos.length);
      if (!(await confirmLoss(title, w.removeDetail, w.remove, w.keep))) return;
    }
    const { done, why } = await this.#each(videos, (video) => api.deleteVideo(video.id));
    if (done.length > 0) {
      this.selection.removed(done);
      const [only] = done;
      const said = done.length === 1 && only ? words.say.deleted(only.title) : w.deleted(done.length);
      this.#tell(said, this.canUndo ? () => this.#restore(done) : null);
    }
    this.#told(videos.length - done.length, why);
  }

  async #restore(videos: api.Video[]): Promise<void> {
    const back: api.Video[] = [];
    const { done, why } = await this.#each(videos, async (video) => {
      back.push(await api.restoreVideo(video.id));
    });
    this.selection.restored(back);
    this.#tell(w.restored(done.length), null);
    this.#told(videos.length - done.length, why);
  }

  async #retry(): Promise<void> {
    const ended = (video: api.Video) => video.state === "failed" || video.state === "ready";
    const videos = this.selection.videos().filter(ended);
    const { done, why } = await this.#each(videos, (video) => api.retryProcessing(video.id));
    this.#tell(w.retried(done.length), null);
    this.#told(videos.length - done.length, why);
  }

  async #share(): Promise<void> {
    const visibility = this.#visibility.value as api.Visibility;
    const videos = this.selection.videos();
    const changed: api.Video[] = [];
    const { done, why } = await this.#each(videos, async (video) => {
      changed.push(await api.saveDetails(video.id, { visibility }));
    });
    this.selection.changed(changed);
    this.#tell(w.shared(done.length), null);
    this.#told(videos.length - done.length, why);
  }

  #each(videos: api.Video[], does: (video: api.Video) => Promise<unknown>) {
    const told = (done: number) => text(this.#count, w.working(done, videos.length));
    return each(videos, does, told);
  }

  /** One thing after the other. */
  async #alone(does: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.element.setAttribute("aria-busy", "true");
    try {
      await does();
    } finally {
      this.#isBusy = false;
      this.element.removeAttribute("aria-busy");
      this.draw(this.selection.videos().length);
    }
  }

  /** Says what was done, beside a way back until somebody closes it. */
  #tell(said: string, undo: (() => Promise<void>) | null): void {
    say(said);
    const shut = () => {
      show(this.done, false);
      this.selection.focus();
    };
    const close = button("close", w.dismiss, shut, { class: "button quiet small" });
    const back = undo
      ? button(null, w.undo, () => void this.#alone(undo), { class: "button small" })
      : null;
    const draw = () => {
      this.done.replaceChildren(h("span", {}, said), ...(back ? [back] : []), close);
      show(this.done, true);
    };
    void keepFocus(this.done, draw, () => close);
    back?.focus();
  }

  #told(failed: number, why: unknown): void {
    const reason = why instanceof api.Problem ? why.title : words.problem.unknown;
    text(this.#problem, failed > 0 ? w.failedMany(failed, reason) : "");
    show(this.#problem, failed > 0);
  }
}
