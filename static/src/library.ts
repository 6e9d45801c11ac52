/** `<slipway-library>`: all videos of the person, alive while the page is seen. */

import * as api from "./api";
import { confirmRemoval } from "./details";
import { Events, isOfVideo, type ServerEvent } from "./events";
import { shareOf, withReport } from "./progress";
import * as units from "./units";
import { button, chip, copy, h, icon, notice, poster, problemNotice, say, show } from "./view";
import { watchPath, watchUrl } from "./view";
import { words } from "./words";

const w = words.library;
const SEARCH_WAIT_MS = 250;
const LAYOUT_KEY = "slipway.library";

export class SlipwayLibrary extends HTMLElement {
  #items: api.Video[] = [];
  #cards = new Map<string, Card>();
  #cursor: string | null = null;
  #query = new URLSearchParams(location.search).get("q") ?? "";
  #asked = 0;
  #loaded = false;
  #timer = 0;
  readonly #search = h("input", { type: "search", placeholder: w.search, "aria-label": w.search });
  readonly #list = h("ul", { class: "cards", "aria-label": w.title });
  readonly #state = h("div", { class: "library-state" });
  readonly #more = button(null, w.more, () => void this.#load(true), { class: "button center" });
  readonly #layout = h("div", { class: "segmented", role: "group", "aria-label": w.layout });

  connectedCallback(): void {
    this.#search.value = this.#query;
    this.#more.hidden = true;
    for (const name of ["grid", "list"] as const) {
      const one = h("button", { type: "button", "data-layout": name }, w[name]);
      one.addEventListener("click", () => this.#arrange(name));
      this.#layout.append(one);
    }
    this.replaceChildren(
      h(
        "div",
        { class: "page-head" },
        h("h1", {}, w.title),
        h("div", { class: "search", role: "search" }, icon("search"), this.#search),
        this.#layout,
      ),
      this.#state,
      this.#list,
      this.#more,
    );
    this.#arrange(readLayout());
    this.#search.addEventListener("input", () => {
      window.clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.#find(), SEARCH_WAIT_MS);
    });
    this.#drawLoading();
    void this.#load(false);
    let first = true;
    new Events({
      onEvent: (event) => this.#heard(event),
      onOpen: () => {
        // The first opening comes with the page's own first look.
        if (!first) void this.#load(false);
        first = false;
      },
    });
  }

  #arrange(layout: "grid" | "list"): void {
    this.#list.dataset.layout = layout;
    for (const one of this.#layout.querySelectorAll("button")) {
      one.setAttribute("aria-pressed", String(one.dataset.layout === layout));
    }
    try {
      localStorage.setItem(LAYOUT_KEY, layout);
    } catch {
      // Not kept, then.
    }
  }

  #find(): void {
    this.#query = this.#search.value.trim();
    const url = new URL(location.href);
    if (this.#query) url.searchParams.set("q", this.#query);
    else url.searchParams.delete("q");
    history.replaceState(null, "", url);
    void this.#load(false);
  }

  async #load(more: boolean): Promise<void> {
    this.#asked += 1;
    const mine = this.#asked;
    try {
      const page = await api.videos(this.#query, more ? this.#cursor : null);
      // A slower, older answer must not overwrite a newer one.
      if (mine !== this.#asked) return;
      this.#items = more ? [...this.#items, ...page.items] : page.items;
      this.#cursor = page.nextCursor;
      this.#loaded = true;
      this.#draw();
    } catch (problem) {
      if (mine !== this.#asked) return;
      this.#state.replaceChildren(problemNotice(problem, () => void this.#load(more)));
    }
  }

  #drawLoading(): void {
    const ghosts = h("div", { class: "cards ghosts", "aria-hidden": "true" });
    for (let n = 0; n < 8; n += 1) {
      ghosts.append(
        h("div", { class: "video-card" }, h("div", { class: "poster" }), h("p", {}, " ")),
      );
    }
    this.#state.replaceChildren(h("p", { class: "unseen", role: "status" }, w.loading), ghosts);
  }

  #draw(): void {
    const ids = new Set(this.#items.map((video) => video.id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
    let before: Element | null = this.#list.firstElementChild;
    for (const video of this.#items) {
      let card = this.#cards.get(video.id);
      if (!card) {
        card = new Card(video, (removed) => this.#removed(removed));
        this.#cards.set(video.id, card);
      } else card.learn(video);
      if (card.element === before) before = before.nextElementSibling;
      else this.#list.insertBefore(card.element, before);
    }
    show(this.#more, this.#cursor !== null);
    this.#state.replaceChildren(...(this.#items.length > 0 ? [] : [this.#emptiness()]));
  }

  #emptiness(): HTMLElement {
    if (this.#query) return notice("search", w.nothing(this.#query), w.nothingDetail);
    const first = h("a", { class: "button primary", href: "/" }, icon("upload"), w.emptyAction);
    return notice("film", w.empty, w.emptyDetail, first);
  }

  #removed(video: api.Video): void {
    const index = this.#items.findIndex((one) => one.id === video.id);
    this.#items = this.#items.filter((one) => one.id !== video.id);
    this.#draw();
    say(words.say.deleted(video.title));
    const next = this.#items[Math.min(index, this.#items.length - 1)];
    const target = next ? this.#cards.get(next.id)?.element.querySelector("a") : this.#search;
    target?.focus();
  }

  #heard(event: ServerEvent): void {
    if (event.type === "upload.progress") {
      const { receivedBytes, size } = event;
      if (size) this.#cards.get(event.videoId)?.uploading(receivedBytes / size);
    }
    if (!isOfVideo(event)) return;
    const card = this.#cards.get(event.videoId);
    if (event.video === null) {
      this.#items = this.#items.filter((one) => one.id !== event.videoId);
      this.#draw();
    } else if (card) {
      const known = this.#items.find((one) => one.id === event.videoId);
      const video = event.video ?? (known && withReport(known, event));
      if (!video) return;
      this.#items = this.#items.map((one) => (one.id === video.id ? video : one));
      card.learn(video);
    } else if (event.video && this.#isNew(event.video)) {
      this.#items = [event.video, ...this.#items];
      this.#draw();
    }
  }

  /** A video that the list doesn't hold belongs on top only if it is younger than all in it. */
  #isNew(video: api.Video): boolean {
    const newest = this.#items[0];
    if (this.#query || !this.#loaded) return false;
    return !newest || (video.createdAt ?? "") > (newest.createdAt ?? "");
  }
}

function readLayout(): "grid" | "list" {
  try {
    return localStorage.getItem(LAYOUT_KEY) === "list" ? "list" : "grid";
  } catch {
    return "grid";
  }
}

class Card {
  readonly element = h("li", { class: "video-card" });
  #share = 0;
  #problem = "";

  constructor(
    private video: api.Video,
    private readonly onRemoved: (video: api.Video) => void,
  ) {
    this.#draw();
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

  #draw(): void {
    const { video } = this;
    const focused = this.element.contains(document.activeElement)
      ? document.activeElement?.getAttribute("data-does")
      : null;
    const seconds = video.source?.duration ?? video.duration;
    const thumb = poster(video.playback?.poster, video.kind);
    if (seconds) thumb.append(h("span", { class: "length" }, units.clock(seconds)));
    const label = (action: string) => ({
      class: "button quiet small",
      "aria-label": words.upload.labelled(action, video.title),
      "data-does": action,
    });
    const facts = [
      video.createdAt ? units.day(video.createdAt) : "",
      video.size ? units.size(video.size) : "",
    ];
    const failed = video.state === "failed";
    const detail = video.error?.title ?? "";
    this.element.replaceChildren(
      thumb,
      h(
        "div",
        { class: "video-card-body" },
        h(
          "h2",
          {},
          h(
            "a",
            { href: watchPath(video.id), "data-does": "open" },
            video.title || words.watch.untitled,
          ),
        ),
        h("p", { class: "muted small" }, facts.filter(Boolean).join(" · ")),
        h("p", { class: "chips" }),
        failed && detail ? h("p", { class: "row-problem" }, detail) : null,
        h("p", { class: "row-problem said", role: "alert", hidden: !this.#problem }, this.#problem),
        h(
          "div",
          { class: "actions" },
          failed && video.error?.retryable !== false
            ? button("retry", w.retry, () => void this.#retry(), label(w.retry))
            : null,
          failed
            ? null
            : button(
                "link",
                words.upload.copy,
                (it) => void copy(watchUrl(video.id), it),
                label(words.upload.copy),
              ),
          button("trash", w.remove, () => void this.#remove(), label(w.remove)),
        ),
      ),
    );
    this.#drawChip();
    if (focused) this.element.querySelector<HTMLElement>(`[data-does="${focused}"]`)?.focus();
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
    if (!(await confirmRemoval(this.video.title))) return;
    await this.#try(async () => {
      await api.deleteVideo(this.video.id);
      this.onRemoved(this.video);
    });
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
  const { title, state, playback, error, source, size, playable } = video;
  return JSON.stringify([title, state, playback?.poster, error, source?.duration, size, playable]);
}
