/** A button with a menu: a list of choices, or of lists of choices. Mouse, touch and keys. */

import { draw, type Drawing } from "./player-icons";
import { h, show } from "./view";
import { words } from "./words";

export interface Item {
  name: string;
  /** What is chosen behind it. */
  detail?: string;
  /** One of several, of which one is chosen; missing for what is merely done. */
  checked?: boolean;
  /** What choosing it does, unless it leads on. */
  choose?: () => void;
  list?: () => List;
}

export interface List {
  name: string;
  items: Item[];
}

export class Menu {
  readonly button: HTMLButtonElement;
  readonly box = h("div", { class: "menu", role: "menu", hidden: true });
  /** The ways in, the innermost last. */
  #path: (() => List)[] = [];

  constructor(
    picture: Drawing,
    private readonly name: string,
    private readonly list: () => List,
    private readonly onToggle: () => void,
  ) {
    this.button = h(
      "button",
      {
        type: "button",
        class: "key",
        "aria-label": name,
        title: name,
        "aria-haspopup": "menu",
        "aria-expanded": "false",
      },
      draw(picture),
    );
    this.button.addEventListener("click", () => (this.isOpen ? this.close(true) : this.open()));
    this.box.addEventListener("keydown", (event) => this.#pressed(event));
    this.box.addEventListener("focusout", ({ relatedTarget }) => {
      const target = relatedTarget as Node | null;
      if (target && !this.box.contains(target) && target !== this.button) this.close(false);
    });
  }

  get isOpen(): boolean {
    return !this.box.hidden;
  }

  open(): void {
    this.#path = [this.list];
    show(this.box, true);
    this.button.setAttribute("aria-expanded", "true");
    this.#draw();
    this.#focusChosen();
    this.onToggle();
  }

  close(withFocus: boolean): void {
    if (!this.isOpen) return;
    show(this.box, false);
    this.button.setAttribute("aria-expanded", "false");
    if (withFocus) this.button.focus();
    this.onToggle();
  }

  /** Draws anew what there is to choose, if it is seen. */
  refresh(): void {
    if (!this.isOpen) return;
    const at = this.#items.indexOf(this.#focused as HTMLElement);
    this.#draw();
    if (at >= 0) this.#items[Math.min(at, this.#items.length - 1)]?.focus();
  }

  get #items(): HTMLElement[] {
    return [...this.box.querySelectorAll<HTMLElement>("[role^=menuitem]")];
  }

  get #focused(): Element | null {
    return (this.box.getRootNode() as ShadowRoot).activeElement;
  }

  #draw(): void {
    const inner = this.#path.length > 1;
    const { name, items } = (this.#path.at(-1) as () => List)();
    this.box.setAttribute("aria-label", inner ? name : this.name);
    const back = h(
      "button",
      {
        ...{ type: "button", class: "item back", role: "menuitem", tabindex: -1 },
        "aria-label": words.labelled(words.player.back, name),
      },
      draw("back"),
      h("span", {}, name),
    );
    back.addEventListener("click", () => this.#leave());
    this.box.replaceChildren(...(inner ? [back] : []), ...items.map((item) => this.#drawn(item)));
  }

  #drawn(item: Item): HTMLElement {
    const isChoice = item.checked !== undefined;
    const made = h(
      "button",
      {
        type: "button",
        class: "item",
        tabindex: -1,
        role: isChoice ? "menuitemradio" : "menuitem",
        "aria-checked": isChoice ? String(item.checked) : null,
        "aria-haspopup": item.list ? "menu" : null,
      },
      isChoice ? draw("check") : null,
      h("span", { class: "item-name" }, item.name),
      item.detail ? h("span", { class: "item-detail" }, item.detail) : null,
      item.list ? draw("on") : null,
    );
    made.addEventListener("click", () => {
      if (item.list) this.#enter(item.list);
      else {
        item.choose?.();
        this.close(true);
      }
    });
    return made;
  }

  #enter(list: () => List): void {
    this.#path.push(list);
    this.#draw();
    this.#focusChosen();
  }

  #leave(): void {
    const from = (this.#path.pop() as () => List)().name;
    this.#draw();
    const items = this.#items;
    const way = items.find((it) => it.querySelector(".item-name")?.textContent === from);
    (way ?? items[0])?.focus();
  }

  #focusChosen(): void {
    const items = this.#items;
    const chosen = items.find((it) => it.getAttribute("aria-checked") === "true");
    (chosen ?? items[0])?.focus();
  }

  #pressed(event: KeyboardEvent): void {
    const items = this.#items;
    const at = items.indexOf(this.#focused as HTMLElement);
    const isRtl = getComputedStyle(this.box).direction === "rtl";
    const [inward, outward] = isRtl
      ? ["ArrowLeft", "ArrowRight"]
      : ["ArrowRight", "ArrowLeft"];
    const { key } = event;
    if (key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (key === "ArrowUp") items.at(at - 1)?.focus();
    else if (key === "Home") items[0]?.focus();
    else if (key === "End") items.at(-1)?.focus();
    else if (key === inward) {
      if (items[at]?.hasAttribute("aria-haspopup")) items[at]?.click();
    } else if (key === outward || key === "Escape") {
      if (this.#path.length > 1) this.#leave();
      else if (key === "Escape") this.close(true);
    } else if (key === "Tab") {
      this.close(true);
      return;
    } else if (key !== " " && key !== "Enter") return;
    // The button under the focus hears of these by itself; the player mustn't.
    event.stopPropagation();
    if (key !== " " && key !== "Enter") event.preventDefault();
  }
}
