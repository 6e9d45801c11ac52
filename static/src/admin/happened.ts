/** What happened lately, the newest first. */

import { type Around, Section } from "../board/section";
import { Moment } from "../board/table";
import type { ServerEvent } from "../events";
import * as units from "../units";
import { h, icon, type IconName, text, watchPath } from "../view";
import { words } from "../words";
import * as api from "./api";
import { ownerName } from "./owners";

const w = words.admin.happened;

export class Happened extends Section {
  readonly #list = h("ol", { class: "happened", tabindex: 0, "aria-label": w.title });
  readonly #none = h("p", { class: "muted" }, w.none);
  #items = new Map<number, { element: HTMLElement; moment: Moment }>();

  constructor(around: Around) {
    super("happened", w.title, around, 30_000, false);
    this.element.append(this.#list, this.#none);
  }

  protected async look(): Promise<void> {
    const { items } = await api.happenings();
    this.#none.hidden = items.length > 0;
    this.#list.hidden = items.length === 0;
    const known = new Map<number, { element: HTMLElement; moment: Moment }>();
    for (const item of items) {
      const entry = this.#items.get(item.id) ?? this.#make(item);
      entry.moment.draw(item.at);
      known.set(item.id, entry);
    }
    this.#items = known;
    this.#list.replaceChildren(...[...known.values()].map((entry) => entry.element));
  }

  override hears(event: ServerEvent): boolean {
    return !event.type.endsWith(".progress") && event.type !== "queue";
  }

  #make(item: api.Happening): { element: HTMLElement; moment: Moment } {
    const moment = new Moment();
    const title = item.title || words.watch.untitled;
    const what =
      item.videoId && item.title !== null
        ? h("a", { href: watchPath(item.videoId) }, title)
        : h("span", {}, item.videoId ? w.gone : "");
    const said = h("span", {});
    text(said, w.types[typeOf(item)] ?? item.type);
    const more = units.facts(item.error?.title, item.owner && ownerName(item.owner));
    const element = h(
      "li",
      { "data-type": typeOf(item) },
      icon(iconOf(item)),
      h("span", {}, said, " ", what, h("span", { class: "small muted whose" }, more)),
      h("span", { class: "small muted" }, moment.element),
    );
    return { element, moment };
  }
}

/** Events of a state are told by the state; a video that is gone has none. */
function typeOf(item: api.Happening): string {
  if (item.type !== "video.state") return item.type;
  return item.state === null ? "gone" : `state.${item.state}`;
}

function iconOf(item: api.Happening): IconName {
  switch (typeOf(item)) {
    case "video.failed":
    case "state.failed":
    case "disk.low":
      return "alert";
    case "video.ready":
    case "state.ready":
      return "check";
    case "video.playable":
      return "play";
    case "gone":
    case "upload.expired":
      return "trash";
    default:
      return item.type.startsWith("upload.") ? "upload" : "film";
  }
}
