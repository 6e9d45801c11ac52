/** `<slipway-library>`: all videos of the person, alive while the page is seen. */

import * as api from "../api";
import { Events, isOfVideo, type ServerEvent } from "../events";
import { withReport } from "../progress";
import { button, firstControl, h, icon, keepFocus, notice, problemNotice, say, show } from "../view";
import { words } from "../words";
import { Bulk } from "./bulk";
import { Card } from "./card";
import { everything, filterOf, isNarrow, NEWEST, OLDEST, queryOf, takes } from "./filter";
import { Filters } from "./filters";
import { Near } from "./near";

const w = words.library;
const LAYOUT_KEY = "slipway.library";
/** Videos on a page, and on a leaf of the list: whole rows of one to six. */
const PAGE = 60;

export class SlipwayLibrary extends HTMLElement {
  #items = new Map<string, api.Video>();
  #cards = new Map<string, Card>();
  readonly #selected = new Set<string>();
  /** The one that was selected last: a range begins at it. */
  #anchor: string | null = null;
  /** The one that took the place of what was deleted last. */
  #left = "";
  #cursor: string | null = null;
  #filter = filterOf(location.search);
  #asked = 0;
  #isLoaded = false;
  #isLoadingMore = false;
  readonly #near = new Near();
  readonly #filters = new Filters(this.#filter, (filter) => {
    this.#filter = filter;
    this.#find();
  });
  /** It has leaves, so that what changes in one lays out no other. */
  readonly #list = h("div", { class: "leaves", role: "list", "aria-label": w.title });
  readonly #state = h("div", { class: "library-state" });
  readonly #end = h("div", { class: "library-state" });
  readonly #more = button(null, w.more, () => void this.#loadMore(), { class: "button center" });
  /** Fetches the next page before its beginning is seen. */
  readonly #atEnd = new IntersectionObserver(
    (entries) => {
      // Where it has come and gone since, the last one counts.
      if (entries.at(-1)?.isIntersecting) void this.#loadMore();
    },
    { rootMargin: "100%" },
  );
  readonly #layout = h("div", { class: "segmented", role: "group", "aria-label": w.layout });
  readonly #bulk = new Bulk({
    videos: () => [...this.#selected].flatMap((id) => this.#items.get(id) ?? []),
    all: () => this.#selectAll(),
    none: () => this.#selectNone(),
    removed: (videos) => this.#forget(videos.map((video) => video.id)),
    changed: (videos) => videos.forEach((video) => this.#learn(video)),
    focus: () => this.#placeLeft().focus(),
    restored: (videos) => this.#putBack(videos),
  });
  readonly #cardsList = {
    session: null as api.Session | null,
    remove: (video: api.Video) => this.#remove(video),
    narrow: (name: "tag" | "owner", value: string) =>
      this.#filters.set({ ...this.#filter, [name]: value }),
    selected: (video: api.Video, isSelected: boolean, isRange: boolean) =>
      this.#select(video.id, isSelected, isRange),
  };

  connectedCallback(): void {
    this.#more.hidden = true;
    for (const name of ["grid", "list"] as const) {
      const one = h("button", { type: "button", "data-layout": name }, w[name]);
      one.addEventListener("click", () => this.#arrange(name));
      this.#layout.append(one);
    }
    this.replaceChildren(
      h("div", { class: "page-head" }, h("h1", {}, w.title), this.#filters.search, this.#layout),
      this.#filters.element,
      this.#state,
      this.#list,
      this.#end,
      this.#more,
      this.#bulk.element,
      this.#bulk.done,
    );
    this.#arrange(readLayout());
    this.#drawLoading();
    void this.#begin();
    this.#atEnd.observe(this.#more);
    window.addEventListener("popstate", () => this.#filters.set(filterOf(location.search)));
  }

  async #begin(): Promise<void> {
    try {
      const session = await api.session();
      this.#cardsList.session = session;
      if (session.role === "admin") this.#filters.forAdmins();
      this.#bulk.canUndo = (session.trashSeconds ?? 0) > 0;
    } catch {
      // The list says what is wrong; without knowing it is asked before anything is deleted.
    }
    await this.#load();
    let first = true;
    new Events({
      onEvent: (event) => this.#heard(event),
      onOpen: () => {
        // The first opening comes with the page's own first look.
        if (!first) void this.#refresh();
        first = false;
      },
    });
  }

  #arrange(layout: "grid" | "list"): void {
    this.#list.dataset.layout = layout;
    for (const leaf of this.#list.children) leaf.setAttribute("data-layout", layout);
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
    const url = new URL(location.href);
    const language = url.searchParams.get("lang");
    const query = queryOf(this.#filter);
    if (language) query.set("lang", language);
    url.search = query.toString();
    history.replaceState(null, "", url);
    this.#selectNone();
    void this.#load();
  }

  /** Asks for the first page again, and keeps what was shown behind it. */
  async #refresh(): Promise<void> {
    const mine = this.#asked;
    const page = await this.#page(null).catch(() => null);
    if (!page || mine !== this.#asked) return;
    const last = page.items.at(-1);
    const fresh = new Set(page.items.map((video) => video.id));
    const isBehind = (video: api.Video) =>
      this.#isByTime ? last !== undefined && this.#inOrder(last, video) < 0 : !fresh.has(video.id);
    const behind = page.nextCursor ? [...this.#items.values()].filter(isBehind) : [];
    if (behind.length === 0) this.#cursor = page.nextCursor;
    this.#items = new Map([...page.items, ...behind].map((video) => [video.id, video]));
    this.#draw();
  }

  /** Says whether the list's order can be told here. */
  get #isByTime(): boolean {
    return this.#filter.sort === NEWEST || this.#filter.sort === OLDEST;
  }

  /** Which of two comes first in an order by time: ids grow with it. */
  #inOrder(one: api.Video, other: api.Video): number {
    const [first, second] = [one.id, other.id];
    const older = first < second ? -1 : first > second ? 1 : 0;
    return this.#filter.sort === OLDEST ? older : -older;
  }

  /** Shows videos again that were deleted, each where it was. */
  #putBack(videos: api.Video[]): void {
    if (!this.#isByTime) return void this.#load();
    const all = new Map([...this.#items, ...videos.map((video) => [video.id, video] as const)]);
    const order = (one: [string, api.Video], other: [string, api.Video]) =>
      this.#inOrder(one[1], other[1]);
    this.#items = new Map([...all].sort(order));
    this.#draw();
  }

  /** Asks for the first page. */
  async #load(): Promise<void> {
    this.#asked += 1;
    const mine = this.#asked;
    try {
      const page = await this.#page(null);
      // A slower, older answer must not overwrite a newer one.
      if (mine !== this.#asked) return;
      this.#items = new Map(page.items.map((video) => [video.id, video]));
      this.#cursor = page.nextCursor;
      this.#isLoaded = true;
      this.#end.replaceChildren();
      this.#draw();
    } catch (problem) {
      if (mine !== this.#asked) return;
      const again = problemNotice(problem, () => void this.#load());
      this.#drawState(again);
    }
  }

  async #loadMore(): Promise<void> {
    if (this.#isLoadingMore || this.#cursor === null) return;
    this.#isLoadingMore = true;
    const mine = this.#asked;
    this.#end.replaceChildren(h("p", { class: "muted", role: "status" }, w.loading));
    try {
      const page = await this.#page(this.#cursor);
      if (mine !== this.#asked) return;
      this.#cursor = page.nextCursor;
      const fresh = page.items.filter((video) => !this.#items.has(video.id));
      const from = this.#items.size;
      for (const video of fresh) this.#items.set(video.id, video);
      this.#place(fresh, from);
      const draw = () => {
        this.#end.replaceChildren();
        this.#drawEnd();
      };
      void keepFocus(this, draw, () => this.#cards.get(fresh[0]?.id ?? "")?.link);
    } catch (problem) {
      if (mine !== this.#asked) return;
      this.#end.replaceChildren(problemNotice(problem, () => void this.#loadMore()));
    } finally {
      this.#isLoadingMore = false;
      // It is told again if it is still near.
      this.#atEnd.unobserve(this.#more);
      this.#atEnd.observe(this.#more);
    }
  }

  #page(cursor: string | null) {
    const query = queryOf(this.#filter);
    query.set("limit", String(PAGE));
    if (cursor) query.set("cursor", cursor);
    return api.videos(query);
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

  #card(video: api.Video): Card {
    const known = this.#cards.get(video.id);
    if (known) {
      known.learn(video);
      return known;
    }
    const card = new Card(video, this.#cardsList);
    this.#cards.set(video.id, card);
    this.#near.add(card);
    return card;
  }

  #draw(): void {
    for (const [id, card] of this.#cards) {
      if (this.#items.has(id)) continue;
      this.#near.remove(card);
      card.element.remove();
      this.#cards.delete(id);
      this.#selected.delete(id);
    }
    this.#place([...this.#items.values()], 0);
    while (this.#list.children.length > Math.ceil(this.#items.size / PAGE)) {
      this.#list.lastElementChild?.remove();
    }
    this.#drawEnd();
  }

  /** Puts cards into the leaves, the first of them at `from`; those that are right stay. */
  #place(videos: api.Video[], from: number): void {
    videos.forEach((video, n) => {
      const { element } = this.#card(video);
      const at = (from + n) % PAGE;
      const leaf = this.#leaf(Math.floor((from + n) / PAGE));
      if (leaf.children[at] !== element) leaf.insertBefore(element, leaf.children[at] ?? null);
    });
  }

  #leaf(n: number): Element {
    while (this.#list.children.length <= n) {
      this.#list.append(h("div", { class: "cards", "data-layout": this.#list.dataset.layout }));
    }
    return this.#list.children[n] ?? this.#list;
  }

  #drawEnd(): void {
    show(this.#more, this.#cursor !== null);
    this.#drawState(...(this.#items.size > 0 ? [] : [this.#emptiness()]));
    this.#filters.count(this.#items.size, this.#cursor === null);
    this.#drawBulk();
  }

  /** Draws what stands for the list where there is none. */
  #drawState(...notices: HTMLElement[]): void {
    const draw = () => this.#state.replaceChildren(...notices);
    void keepFocus(this.#state, draw, () => firstControl(this.#state), () => this.#filters.field);
  }

  #drawBulk(): void {
    const draw = () => this.#bulk.draw(this.#selected.size);
    const { element, done } = this.#bulk;
    void keepFocus(element, draw, () => firstControl(done), () => this.#placeLeft());
  }

  #emptiness(): HTMLElement {
    const { q } = this.#filter;
    const clear = () => this.#filters.set(everything());
    const all = () => button(null, w.clear, clear, { class: "button" });
    if (q) return notice("search", w.nothing(q), w.nothingDetail, all());
    if (isNarrow(this.#filter)) {
      return notice("search", w.nothingFits, w.nothingFitsDetail, all());
    }
    const first = h("a", { class: "button primary", href: "/" }, icon("upload"), w.emptyAction);
    return notice("film", w.empty, w.emptyDetail, first);
  }

  async #remove(video: api.Video): Promise<void> {
    await this.#bulk.remove([video]);
  }

  /** Takes videos out of the list; a focus in one goes to the one that takes its place. */
  #forget(ids: string[]): void {
    const order = [...this.#items.keys()];
    const first = order.findIndex((id) => ids.includes(id));
    // The server's own word of it may have come before.
    if (first < 0) return;
    for (const id of ids) this.#items.delete(id);
    const next = order.slice(first).find((id) => this.#items.has(id));
    this.#left = next ?? [...this.#items.keys()].at(-1) ?? "";
    void keepFocus(this.#list, () => this.#draw(), () => this.#placeLeft());
  }

  /** Returns where somebody was in the list who has left it. */
  #placeLeft(): HTMLElement {
    const id = this.#items.has(this.#left) ? this.#left : this.#items.keys().next().value;
    return this.#cards.get(id ?? "")?.link ?? this.#filters.field;
  }

  #select(id: string, isSelected: boolean, isRange: boolean): void {
    const order = [...this.#items.keys()];
    const ends = [order.indexOf(id), order.indexOf(this.#anchor ?? id)].sort((a, b) => a - b);
    const [from = 0, to = 0] = isRange && ends[0] !== -1 ? ends : [order.indexOf(id), order.indexOf(id)];
    for (const one of order.slice(from, to + 1)) this.#mark(one, isSelected);
    this.#anchor = id;
    this.#left = id;
    this.#drawBulk();
  }

  #mark(id: string, isSelected: boolean): void {
    const card = this.#cards.get(id);
    if (!card?.isOwn) return;
    card.select(isSelected);
    if (isSelected) this.#selected.add(id);
    else this.#selected.delete(id);
  }

  #selectAll(): void {
    for (const id of this.#items.keys()) this.#mark(id, true);
    this.#drawBulk();
  }

  #selectNone(): void {
    for (const id of [...this.#selected]) this.#mark(id, false);
    this.#anchor = null;
    this.#drawBulk();
  }

  #learn(video: api.Video): void {
    if (!this.#items.has(video.id)) return;
    this.#items.set(video.id, video);
    this.#cards.get(video.id)?.learn(video);
  }

  #heard(event: ServerEvent): void {
    if (event.type === "upload.progress") {
      const { receivedBytes, size } = event;
      if (size) this.#cards.get(event.videoId)?.uploading(receivedBytes / size);
    }
    if (!isOfVideo(event)) return;
    const known = this.#items.get(event.videoId);
    if (event.video === null) {
      if (known) this.#forget([event.videoId]);
    } else if (known) {
      this.#learn(event.video ?? withReport(known, event));
    } else if (event.video && this.#isNew(event.video)) {
      this.#items = new Map([[event.video.id, event.video], ...this.#items]);
      this.#draw();
      say(event.video.title);
    }
  }

  /** A video that the list doesn't hold belongs on top only if it is younger than all in it. */
  #isNew(video: api.Video): boolean {
    const [newest] = this.#items.values();
    if (!this.#isLoaded || !takes(this.#filter, video)) return false;
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
