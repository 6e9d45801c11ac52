/** The controls over the list: search, state, order, and what is being filtered by. */

import { button, h, icon, keepFocus, show, text } from "../view";
import { words } from "../words";
import { type Filter, type Name, SORTS, STATES, everything, isNarrow } from "./filter";

const w = words.library;
const SEARCH_WAIT_MS = 250;

/** Filters that are chosen on a card or typed in, and shown as long as they hold. */
const NAMED = ["tag", "sessionId", "owner"] as const;
const SORT_NAMES = [w.newest, w.oldest, w.byTitle, w.longest, w.largest];
const NAMES = { tag: w.tag, sessionId: w.session, owner: w.owner };

export class Filters {
  readonly search: HTMLElement;
  readonly element: HTMLElement;
  readonly field = h("input", { type: "search", placeholder: w.search, "aria-label": w.search });
  readonly #state = h("select", {}, h("option", { value: "" }, w.anyState));
  readonly #sort = h(
    "select",
    {},
    ...SORTS.map((sort, n) => h("option", { value: sort }, SORT_NAMES[n] ?? sort)),
  );
  readonly #fields = {
    tag: h("input", { type: "text", autocapitalize: "off" }),
    sessionId: h("input", { type: "text", autocapitalize: "off" }),
    owner: h("input", { type: "text", autocapitalize: "off" }),
  };
  readonly #more: HTMLDetailsElement;
  readonly #ownerLabel: HTMLElement;
  readonly #chips = h("ul", { class: "filter-chips", "aria-label": w.filters });
  readonly #clear = button(null, w.clear, () => this.set(everything()), {
    class: "button quiet small",
  });
  readonly #count = h("p", { class: "muted small", role: "status" });
  #timer = 0;

  constructor(
    private filter: Filter,
    private readonly changed: (filter: Filter) => void,
  ) {
    for (const state of STATES) {
      this.#state.append(h("option", { value: state }, words.state[state]));
    }
    this.search = h("div", { class: "search", role: "search" }, icon("search"), this.field);
    this.#ownerLabel = h("label", { hidden: true }, w.owner, this.#fields.owner);
    this.#more = h(
      "details",
      { class: "filter-more" },
      h("summary", { class: "button" }, w.filters),
      h(
        "div",
        { class: "filter-fields" },
        h("label", {}, w.tag, this.#fields.tag),
        h("label", {}, w.session, this.#fields.sessionId),
        this.#ownerLabel,
      ),
    );
    this.element = h(
      "div",
      { class: "filters" },
      h("label", {}, h("span", { class: "unseen" }, w.state), this.#state),
      h("label", {}, h("span", { class: "unseen" }, w.sort), this.#sort),
      this.#more,
      this.#chips,
      this.#clear,
      this.#count,
    );
    this.field.addEventListener("input", () => {
      window.clearTimeout(this.#timer);
      const search = () => this.set({ ...this.filter, q: this.field.value.trim() });
      this.#timer = window.setTimeout(search, SEARCH_WAIT_MS);
    });
    const choose = (name: Name, it: HTMLSelectElement | HTMLInputElement) =>
      it.addEventListener("change", () => this.set({ ...this.filter, [name]: it.value.trim() }));
    choose("state", this.#state);
    choose("sort", this.#sort);
    for (const name of NAMED) choose(name, this.#fields[name]);
    this.#closeByItself();
    this.#draw();
  }

  /** The fields lie over the list, and get out of the way. */
  #closeByItself(): void {
    document.addEventListener("pointerdown", ({ target }) => {
      if (!(target instanceof Node && this.#more.contains(target))) this.#more.open = false;
    });
    this.#more.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      this.#more.open = false;
      this.#more.querySelector("summary")?.focus();
    });
  }

  /** Shows what only those need who see everybody's videos. */
  forAdmins(): void {
    show(this.#ownerLabel, true);
  }

  /** Says how many are in the list. */
  count(shown: number, isAll: boolean): void {
    text(this.#count, isAll ? w.shown(shown) : w.shownMore(shown));
  }

  set(filter: Filter): void {
    if (JSON.stringify(filter) === JSON.stringify(this.filter)) return;
    this.filter = filter;
    this.#draw();
    this.changed(filter);
  }

  #draw(): void {
    const { filter } = this;
    if (document.activeElement !== this.field) this.field.value = filter.q;
    this.#state.value = filter.state;
    this.#sort.value = filter.sort;
    for (const name of NAMED) this.#fields[name].value = filter[name];
    const hadFocus = this.#chips.contains(document.activeElement);
    const held = NAMED.filter((name) => filter[name] !== "");
    this.#chips.replaceChildren(
      ...held.map((name) => {
        const without = () => this.set({ ...this.filter, [name]: "" });
        const label = { class: "chip-button", "aria-label": w.without(NAMES[name], filter[name]) };
        return h("li", {}, button("close", words.labelled(NAMES[name], filter[name]), without, label));
      }),
    );
    show(this.#chips, held.length > 0);
    void keepFocus(this.#clear, () => show(this.#clear, isNarrow(filter)), () => this.field);
    if (hadFocus) (this.#chips.querySelector("button") ?? this.field).focus();
  }
}
