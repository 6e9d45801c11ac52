/** One video in the list: its picture, what it is, where it stands, what can be done. */

import * as api from "../api";
import { shareOf } from "../progress";
import * as units from "../units";
import { button, chip, copy, h, poster, watchPath, watchUrl } from "../view";
import { words } from "../words";
import { shareLinks } from "./share";

const w = words.library;

/** What a card asks of the list. */
export interface List {
  /** Who looks; that a video is theirs needs no words. */
  session: api.Session | null;
  remove(video: api.Video): Promise<void>;
  /** Shows only what has this tag, or this owner. */
  narrow(name: "tag" | "owner", value: string): void;
  /** It was selected or not; `isRange` if all in between are meant. */
  selected(video: api.Video, isSelected: boolean, isRange: boolean): void;
}

export class Card {
  readonly element = h("div", { class: "video-card", role: "listitem" });
  readonly #heading = h("h2");
  readonly link = h("a", { "data-does": "open" });
  readonly #box = h("input", { type: "checkbox", class: "select", "data-does": "select" });
  #share = 0;
  #problem = "";
  #isNear = false;

  constructor(
    private video: api.Video,
    private readonly list: List,
  ) {
    this.#heading.append(this.link);
    let isRange = false;
    this.#box.addEventListener("click", (event) => {
      isRange = event.shiftKey;
    });
    this.#box.addEventListener("change", () => {
      this.list.selected(this.video, this.#box.checked, isRange);
      isRange = false;
    });
    this.#draw();
  }

  /** It is the person's to change: their own, or of the organisation that they run. */
  get isOwn(): boolean {
    return api.mayChange(this.list.session, this.video.owner);
  }

  learn(video: api.Video): void {
    // Drawing anew would take the focus from a button; equal news isn't worth that.
    if (JSON.stringify(video) === JSON.stringify(this.video)) return;
    const structure = shape(video) !== shape(this.video);
    this.video = video;
    if (structure) this.#draw();
    else this.#drawChip();
  }

  uploading(share: number): void {
    this.#share = share;
    this.#drawChip();
  }

  select(isSelected: boolean): void {
    this.#box.checked = isSelected;
    this.element.classList.toggle("selected", isSelected);
  }

  near(isNear: boolean, height: number): void {
    if (this.#isNear === isNear || this.element.contains(document.activeElement)) return;
    // What goes away keeps its room, or everything below would jump.
    if (isNear) this.element.style.removeProperty("height");
    else this.element.style.setProperty("height", `${height}px`);
    this.element.classList.toggle("far", !isNear);
    this.#isNear = isNear;
    this.#draw();
  }

  #draw(): void {
    const { video } = this;
    const title = video.title || words.watch.untitled;
    this.link.href = watchPath(video.id);
    this.link.textContent = title;
    this.#box.setAttribute("aria-label", w.select(title));
    if (!this.#isNear) {
      this.element.replaceChildren(this.#heading);
      return;
    }
    const focused = this.element.contains(document.activeElement)
      ? document.activeElement?.getAttribute("data-does")
      : null;
    const seconds = video.source?.duration ?? video.duration;
    const thumb = poster(video.playback?.poster, video.kind);
    if (seconds) thumb.append(h("span", { class: "length" }, units.clock(seconds)));
    const facts = units.facts(
      video.createdAt && units.day(video.createdAt),
      video.size && units.size(video.size),
      video.visibility && words.edit.visibilities[video.visibility],
    );
    const why = video.state === "failed" ? (video.error?.title ?? "") : "";
    const said = { class: "row-problem said", role: "alert", hidden: !this.#problem };
    this.element.replaceChildren(
      thumb,
      ...(this.isOwn ? [h("label", { class: "select-box" }, this.#box)] : []),
      h(
        "div",
        { class: "video-card-body" },
        this.#heading,
        h("p", { class: "muted small" }, facts),
        h("p", { class: "chips" }),
        this.#tags(),
        why ? h("p", { class: "row-problem" }, why) : null,
        h("p", said, this.#problem),
        h("div", { class: "actions" }, ...this.#actions()),
      ),
    );
    this.#drawChip();
    if (!focused) return;
    const same = this.element.querySelector<HTMLElement>(`[data-does="${CSS.escape(focused)}"]`);
    (same ?? this.link).focus();
  }

  #tags(): HTMLElement | null {
    const { tags = [], owner } = this.video;
    const shown = tags.map((tag) => ["tag", w.tag, tag] as const);
    const whose = owner && owner !== this.list.session?.owner ? [["owner", w.owner, owner] as const] : [];
    const all = [...shown, ...whose];
    if (all.length === 0) return null;
    const items = all.map(([name, said, value]) => {
      const label = { class: "tag", "aria-label": words.labelled(said, value), "data-does": value };
      return h("li", {}, button(null, value, () => this.list.narrow(name, value), label));
    });
    return h("ul", { class: "tags" }, ...items);
  }

  #actions(): (HTMLElement | null)[] {
    const { video } = this;
    const label = (action: string) => ({
      class: "button quiet small",
      "aria-label": words.labelled(action, video.title),
      "data-does": action,
    });
    const isFailed = video.state === "failed";
    const canRetry = isFailed && this.isOwn && video.error?.retryable !== false;
    const said = words.upload.copy;
    const isPlayed = !isFailed && video.kind !== "file";
    const isShut = this.isOwn && isPlayed && video.visibility === "private";
    const share = () => void shareLinks(video);
    return [
      canRetry ? button("retry", w.retry, () => void this.#retry(), label(w.retry)) : null,
      isFailed ? null : button("link", said, (it) => void copy(watchUrl(video.id), it), label(said)),
      isShut ? button("share", w.share.does, share, label(w.share.does)) : null,
      this.isOwn ? button("trash", w.remove, () => void this.#remove(), label(w.remove)) : null,
    ];
  }

  #drawChip(): void {
    const { video } = this;
    const share = video.state === "uploading" ? this.#share : shareOf(video.processing);
    const busy = video.state === "uploading" || video.state === "processing";
    const more = busy && share > 0 ? units.share(share) : "";
    this.element.querySelector(".chips")?.replaceChildren(chip(video.state, more));
  }

  async #retry(): Promise<void> {
    await this.#try(() => api.retryProcessing(this.video.id));
  }

  async #remove(): Promise<void> {
    await this.#try(() => this.list.remove(this.video));
  }

  async #try(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#problem = "";
    } catch (problem) {
      this.#problem = problem instanceof api.Problem ? problem.title : words.problem.unknown;
      this.#draw();
    }
  }
}

/** What decides a card's elements; the rest is only a number in its chip. */
function shape(video: api.Video): string {
  const { title, state, playback, error, source, size, playable, tags, visibility, kind } = video;
  const poster = playback?.poster;
  return JSON.stringify([
    ...[title, state, poster, error, source?.duration, size, playable, tags, visibility, kind],
  ]);
}
