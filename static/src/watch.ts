/** `<slipway-watch>` and `<slipway-embed>`: the pages around the player. */

import * as api from "./api";
import { editDetails } from "./details";
import { VideoChanged } from "./player";
import { shareOf } from "./progress";
import * as units from "./units";
import { button, chip, copy, embedCode, h, show, text, watchUrl } from "./view";
import { words } from "./words";

const w = words.watch;

/** Returns the video's id out of `/watch/{id}` or `/embed/{id}`. */
function idFromPath(): string {
  return decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1) ?? "");
}

export class SlipwayWatch extends HTMLElement {
  readonly #title = h("h1");
  readonly #facts = h("p", { class: "muted facts" });
  readonly #chip = h("span");
  readonly #description = h("p", { class: "description" });
  readonly #more = h("section", { class: "card watch-more", hidden: true });
  readonly #about = h("section", { class: "watch-about", hidden: true });
  readonly #edit = button("pencil", w.edit, () => void this.#change());
  #video: api.Video | null = null;

  connectedCallback(): void {
    const id = idFromPath();
    const player = h("slipway-player" as "div", { video: id });
    player.addEventListener("slipway-video", (event) => {
      if (event instanceof VideoChanged) this.#draw(event.detail);
    });
    this.#edit.hidden = true;
    this.#about.append(
      h("div", { class: "watch-title" }, this.#title, this.#chip),
      this.#facts,
      h(
        "div",
        { class: "actions" },
        button("link", w.share, (it) => void copy(watchUrl(id), it)),
        button("code", w.embed, (it) => void copy(embedCode(id, this.#video?.title ?? ""), it)),
        this.#edit,
      ),
      this.#description,
    );
    this.replaceChildren(player, this.#about, this.#more);
    void this.#maybeEdit();
  }

  async #maybeEdit(): Promise<void> {
    const session = await api.session().catch(() => null);
    show(this.#edit, session?.role === "admin" || session?.role === "uploader");
  }

  #draw(video: api.Video): void {
    this.#video = video;
    const title = video.title || w.untitled;
    document.title = `${title} · ${words.product}`;
    text(this.#title, title);
    show(this.#about, true);
    const seconds = video.source?.duration ?? video.duration;
    const facts = [
      seconds ? units.clock(seconds) : "",
      video.createdAt ? units.day(video.createdAt) : "",
    ];
    text(this.#facts, facts.filter(Boolean).join(" · "));
    text(this.#description, video.description ?? "");
    show(this.#description, !!video.description);
    // Who watches wants to know of a state only when it isn't the usual one.
    this.#chip.replaceChildren(
      ...(video.state === "ready" ? [] : [chip(video.state, share(video))]),
    );
    this.#drawMore(video);
  }

  #drawMore(video: api.Video): void {
    const rungs = (video.renditions ?? []).filter((one) => one.kind === "video");
    const { source } = video;
    show(this.#more, rungs.length > 0 || !!source?.videoCodec);
    this.#more.replaceChildren(
      h(
        "dl",
        {},
        ...(rungs.length > 0
          ? [h("dt", {}, w.qualities), h("dd", {}, ...rungs.flatMap(rung))]
          : []),
        ...(source?.width && source.height
          ? [h("dt", {}, w.source), h("dd", {}, sourceWords(video))]
          : []),
      ),
    );
  }

  async #change(): Promise<void> {
    if (!this.#video) return;
    const saved = await editDetails(this.#video);
    if (saved) this.#draw(saved);
  }
}

function share(video: api.Video): string {
  const progress = shareOf(video.processing);
  return video.state === "processing" && progress > 0 ? units.share(progress) : "";
}

function rung(one: api.Rendition): Node[] {
  const busy = one.state === "running" && one.progress ? ` ${units.share(one.progress)}` : "";
  return [h("span", { class: "rung", "data-state": one.state }, one.name + busy), new Text(" ")];
}

function sourceWords(video: api.Video): string {
  const { source } = video;
  const codecs = [source?.videoCodec, source?.audioCodec].filter(Boolean).join(" + ");
  const size = video.size ? units.size(video.size) : "";
  return [`${source?.width} × ${source?.height}`, codecs, size].filter(Boolean).join(" · ");
}

/** Nothing but the player, to stand in a frame of another page. */
export class SlipwayEmbed extends HTMLElement {
  connectedCallback(): void {
    const title = h("h1", { class: "unseen" }, words.watch.embedTitle);
    const player = h("slipway-player" as "div", { video: idFromPath() });
    player.addEventListener("slipway-video", (event) => {
      if (!(event instanceof VideoChanged)) return;
      document.title = event.detail.title || words.watch.embedTitle;
      text(title, document.title);
    });
    this.replaceChildren(title, player);
  }
}
