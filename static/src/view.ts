/** Drawing: real elements made in code (text stays text), icons, the header, what is said aloud. */

import * as api from "./api";
import { door } from "./door";
import { facts } from "./units";
import { words } from "./words";

type Child = Node | string | null | undefined | false;
type Props = {
  class?: string;
  on?: Record<string, (event: Event) => void>;
  [attribute: string]: unknown;
};

/** Makes an element. Props are attributes; `true` sets a bare one, `false` and null set none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value as NonNullable<Props["on"]>)) {
        element.addEventListener(event, listener);
      }
    } else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** Sets text only when it differs, so that screen readers and the layout aren't disturbed. */
export function text(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

/** Shows or hides without touching what is already right. */
export function show(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible;
}

const icons = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-3",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12-7.5z",
  close: "M6 6l12 12M18 6 6 18",
  retry: "M20 11a8 8 0 1 0-2.3 5.7M20 4v7h-7",
  link:
    "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.7-5.7L12 7" +
    "M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.7 5.7L12 17",
  trash: "M4 7h16M9 7V4h6v3m-9 0 1 13h10l1-13M10 11v5m4-5v5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 8v5m0 3.5v.01M12 3 2.5 20h19z",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.5h4M4 14.5h4M16 9.5h4M16 14.5h4",
  code: "M9 7l-5 5 5 5m6-10 5 5-5 5",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zm5-2 4.5 4.5",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  grip: "M9 6v.01M15 6v.01M9 12v.01M15 12v.01M9 18v.01M15 18v.01",
  first: "M6 4h12M12 20V9m0 0-5 5m5-5 5 5",
  up: "M12 19V5m0 0-6 6m6-6 6 6",
  down: "M12 5v14m0 0-6-6m6 6 6-6",
  folder: "M3 6h6l2 3h10v10H3z",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20.5c1-4 4.2-5.5 8-5.5s7 1.5 8 5.5",
  share:
    "M8.2 12a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0z" +
    "M20.2 6a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0z" +
    "M20.2 18a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0zM8 11l8-4m-8 6 8 4",
  camera: "M3 7h11v10H3zM14 11l7-4v10l-7-4",
} as const;
export type IconName = keyof typeof icons;

const SVG = "http://www.w3.org/2000/svg";

/** Draws one of the line icons; it says nothing, the text beside it does. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", icons[name]);
  svg.append(path);
  return svg;
}

/** Makes a button with an icon and words; `label` names it fully where the words alone don't. */
export function button(
  name: IconName | null,
  said: string,
  action: (button: HTMLButtonElement) => void,
  props: Props = {},
): HTMLButtonElement {
  const made = h(
    "button",
    { type: "button", class: "button", ...props },
    name && icon(name),
    h("span", {}, said),
  );
  made.addEventListener("click", () => action(made));
  return made;
}

/** Draws the box for an empty list, an error, or a state that has nothing else to show. */
export function notice(
  name: IconName,
  title: string,
  detail: string,
  ...actions: Child[]
): HTMLElement {
  return h(
    "div",
    { class: "notice" },
    h("span", { class: "notice-icon" }, icon(name)),
    h("h2", {}, title),
    detail ? h("p", {}, detail) : null,
    actions.length > 0 ? h("div", { class: "actions" }, ...actions) : null,
  );
}

/** Draws a problem with a way to try again. */
export function problemNotice(problem: unknown, again: () => void): HTMLElement {
  const said = problem instanceof api.Problem ? problem : null;
  return notice(
    "alert",
    said?.title ?? words.problem.unknown,
    said?.detail ?? "",
    button("retry", words.problem.retry, again),
  );
}

/** Where what belongs to no place on the page is put. */
let home: HTMLElement | ShadowRoot = document.body;
let region: HTMLElement | null = null;

/** On another site's page, things stay within the element, whose style they need. */
export function stayIn(root: ShadowRoot): void {
  home = root;
  region = null;
}

/** Says something to screen readers, after what they are saying now. */
export function say(message: string): void {
  if (!region?.isConnected) {
    region = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    home.append(region);
  }
  region.textContent = message;
}

/** Returns what has the focus, if that is within `element`. */
export function focusIn(element: Element): HTMLElement | null {
  const root = element.getRootNode() as Document | ShadowRoot;
  const { activeElement } = root;
  return activeElement instanceof HTMLElement && element.contains(activeElement)
    ? activeElement
    : null;
}

/** Says whether the focus can be there. */
export function canHaveFocus(element: HTMLElement): boolean {
  return element.isConnected && !element.closest("[hidden], [inert], :disabled");
}

/** Returns the first button or link within `place` that can be used. */
export function firstControl(place: Element | null | undefined): HTMLElement | undefined {
  return [...(place?.querySelectorAll<HTMLElement>("button, a[href]") ?? [])].find(canHaveFocus);
}

/**
 * Changes what is within `place`. What had the focus there has it afterwards; where that is gone or
 * hidden, the first of `heirs` that can: a keyboard must never be thrown back to the page's top.
 */
export async function keepFocus(
  place: Element,
  change: () => unknown,
  ...heirs: (() => HTMLElement | null | undefined)[]
): Promise<void> {
  const root = place.getRootNode() as Document | ShadowRoot;
  const had = focusIn(place);
  await change();
  if (!had) return;
  const { activeElement } = root;
  // Somebody, or the change itself, has moved it on.
  if (activeElement && activeElement !== document.body && activeElement !== had) return;
  for (const heir of [() => had, ...heirs]) {
    const next = heir();
    if (!next || !canHaveFocus(next)) continue;
    if (next !== activeElement) next.focus();
    return;
  }
}

/** Copies text and says so on the button for a moment. */
export async function copy(value: string, button: HTMLButtonElement): Promise<void> {
  if (!(await toClipboard(value))) return;
  say(words.say.copied);
  const label = button.querySelector("span");
  if (!label || button.dataset.copied) return;
  const before = label.textContent ?? "";
  button.dataset.copied = "yes";
  label.textContent = words.upload.copied;
  window.setTimeout(() => {
    label.textContent = before;
    delete button.dataset.copied;
  }, 1_800);
}

async function toClipboard(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    // Without TLS there is no clipboard API; a selected field and the old command still work.
    const field = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
    field.value = value;
    home.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export const watchPath = (id: string) => `/watch/${encodeURIComponent(id)}`;
export const watchUrl = (id: string) => new URL(door.url(watchPath(id)), location.href).href;

/** Draws the chip that tells where a video stands; `more` is a share or a step. */
export function chip(state: api.VideoState, more = ""): HTMLElement {
  return h(
    "span",
    { class: "chip", "data-state": state },
    facts(words.state[state], more),
  );
}

/** Returns a poster, or the drawing that stands in for one. */
export function poster(url: string | null | undefined, kind?: api.Video["kind"]): HTMLElement {
  const frame = h("div", { class: "poster" });
  const stand = icon(kind === "file" ? "file" : "film");
  frame.append(stand);
  if (url) {
    const image = h("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("load", () => stand.remove());
    image.addEventListener("error", () => image.remove());
    frame.append(image);
  }
  return frame;
}

/** The page's header: where one can go, and the way out. */
export class SlipwayHeader extends HTMLElement {
  connectedCallback(): void {
    const links = h("ul");
    const end = h("div", { class: "header-end" });
    this.replaceChildren(
      h("a", { class: "skip", href: "#main" }, words.nav.skip),
      h(
        "div",
        { class: "header-row" },
        h(
          "a",
          { class: "brand", href: "/" },
          h("img", { src: "/static/mark.svg", alt: "", width: 28, height: 28 }),
          words.product,
        ),
        h("nav", { "aria-label": words.nav.label }, links),
        end,
      ),
    );
    api.session().then(
      (session) => this.#draw(session, links, end),
      () =>
        this.#draw({ mode: "token", role: null, limits: { maxSize: 0, chunkSize: 0 } }, links, end),
    );
  }

  #draw(session: api.Session, links: HTMLElement, end: HTMLElement): void {
    const current = (href: string) =>
      location.pathname === href ? { "aria-current": "page" } : {};
    const entry = (href: string, name: string) =>
      h("li", {}, h("a", { href, ...current(href) }, name));
    if (session.role === null) {
      end.replaceChildren(h("a", { class: "button", href: loginPath() }, words.nav.login));
      return;
    }
    links.replaceChildren(
      entry("/", words.nav.upload),
      entry("/library", words.nav.library),
      ...(api.isOperator(session) ? [entry("/admin", words.nav.admin)] : []),
    );
    if (session.mode !== "open") {
      end.replaceChildren(
        session.account ? accountLink(session.owner ?? "", current("/account")) : "",
        h(
          "form",
          { method: "post", action: "/logout" },
          h("button", { class: "button quiet", type: "submit" }, words.nav.logout),
        ),
      );
    }
  }
}

/** Draws the way to one's own account; only an icon where there is no room for the name. */
function accountLink(name: string, more: Props): HTMLElement {
  const label = words.labelled(words.account.title, name);
  const props = { class: "button quiet account-link", href: "/account", "aria-label": label };
  return h("a", { ...props, ...more }, icon("person"), h("span", {}, name));
}

/** Returns the login page's address that leads back here. */
export function loginPath(): string {
  return `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}
