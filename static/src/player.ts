/**
 * `<slipway-player video="ID">`: plays a video, also while it is still being made, and says in a
 * sentence what keeps it from playing. On another site's page `endpoint` names the server. `token`
 * may be a playback token, which counts for this player alone and may be changed at any time. Other
 * attributes: `autoplay`, `muted`, `start` (a moment, as `90` or `1:30`), `controls="0"`.
 *
 * What it looks like stays within its shadow, so that it is the same on any page.
 */

import rules from "style:../css/player.css";
import * as api from "./api";
import { door, isOurs, isPlayback } from "./door";
import { Events, isOfVideo, type ServerEvent } from "./events";
import { Controls } from "./player-controls";
import * as memory from "./player-memory";
import { Source } from "./player-source";
import { shareOf, withReport } from "./progress";
import * as units from "./units";
import { button, firstControl, h, icon, keepFocus, show } from "./view";
import { stageWord, words } from "./words";

const w = words.player;
/** How soon to look again where the stream of events doesn't come through. */
const POLL_MS = 3_000;
/** So far behind the newest of a film that grows a place is gone back to. */
const MADE_MARGIN_SECONDS = 2;

const sheet = new CSSStyleSheet();
sheet.replaceSync(rules);

/** What the player tells the page it stands in: the newest description of its video. */
export class VideoChanged extends CustomEvent<api.Video> {
  constructor(video: api.Video) {
    super("slipway-video", { detail: video });
  }
}

/** Where the film is now, in seconds. */
export class TimePassed extends CustomEvent<number> {
  constructor(seconds: number) {
    super("slipway-time", { detail: seconds });
  }
}

/** The token isn't good, or not any more: with another one it goes on. */
class Unauthorized extends CustomEvent<undefined> {
  constructor() {
    super("slipway-unauthorized", { bubbles: true, composed: true });
  }
}

export class SlipwayPlayer extends HTMLElement {
  static readonly observedAttributes = ["token"];

  readonly #media = h("video", { playsinline: true, preload: "metadata" });
  readonly #curtain = h("div", { class: "curtain", tabindex: -1 });
  readonly #growing = h("span", { class: "chip growing", hidden: true }, w.growing);
  readonly #better = button("retry", w.better, () => this.#reload(), { class: "chip", hidden: true });
  readonly #resumed = button("retry", "", () => this.#restart(), { class: "chip", hidden: true });
  readonly #source = new Source(this.#media, {
    onReady: () => this.#raise(),
    onChoices: () => this.#controls.drawChoices(),
    onFailed: (why) => this.#playFailed(why),
  });
  readonly #controls = new Controls(this, this.#media, this.#source);
  #video: api.Video | null = null;
  #events: Events | null = null;
  #poll = 0;
  #url: string | null = null;
  /** The playlist that plays was loaded when the video wasn't complete yet. */
  #loadedEarly = false;
  #isBuilt = false;
  /** Addresses hold the token: with another one they are others. */
  #isRenewed = false;

  connectedCallback(): void {
    if (!isOurs && this.hasAttribute("endpoint")) this.#openDoor();
    if (!this.#isBuilt) this.#build();
    this.#curtainSays("film", w.loading, "");
    window.addEventListener("pagehide", this.#keep);
    void this.#look();
  }

  attributeChangedCallback(_name: string, before: string | null, now: string | null): void {
    if (!this.isConnected || !this.#isBuilt || before === now) return;
    this.#isRenewed = true;
    this.#stopWatching();
    void this.#look();
  }

  /** The playback token; nothing where there is none, or one that says who calls. */
  get #token(): string {
    const token = this.getAttribute("token") ?? "";
    return isPlayback(token) ? token : "";
  }

  /** Names the server; who has a token for it already keeps that. */
  #openDoor(): void {
    const endpoint = this.getAttribute("endpoint");
    const { token } = door;
    const before = door.url("/");
    door.open(endpoint, this.#token ? null : this.getAttribute("token"));
    if (!door.token && door.url("/") === before) door.open(endpoint, token);
  }

  disconnectedCallback(): void {
    this.#keep();
    window.removeEventListener("pagehide", this.#keep);
    this.#stopWatching();
    this.#source.close();
    this.#url = null;
  }

  /** Where the film is, in seconds. */
  get currentTime(): number {
    return this.#media.currentTime;
  }

  /** Goes to a moment, as far as it is made. */
  seek(seconds: number): void {
    this.#controls.seek(seconds);
  }

  /** Plays on; a browser may want somebody to have done something on the page first. */
  async play(): Promise<void> {
    await this.#media.play();
  }

  pause(): void {
    this.#media.pause();
  }

  get #id(): string {
    return this.getAttribute("video") ?? "";
  }

  #build(): void {
    this.#isBuilt = true;
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(
      this.#controls.frame(
        this.#media,
        h("div", { class: "chips" }, this.#growing, this.#better, this.#resumed),
        this.#curtain,
      ),
    );
    const { muted, volume } = memory.likings();
    this.#media.volume = Math.min(1, Math.max(0, volume ?? 1));
    this.#media.muted = this.hasAttribute("muted") || muted === true;
    this.#media.addEventListener("pause", this.#keep);
    this.#media.addEventListener("ended", () => memory.forgetPlace(this.#id));
    this.#media.addEventListener("timeupdate", () => this.#passed());
  }

  readonly #keep = () => {
    const { length, now } = this.#controls.standing;
    if (this.#media.played.length > 0) memory.keepPlace(this.#id, now, length);
  };

  #kept = 0;

  /** Notes the place now and then, as a page may end without a word. */
  #passed(): void {
    const now = this.#media.currentTime;
    this.dispatchEvent(new TimePassed(now));
    if (Math.abs(now - this.#kept) < 5) return;
    // That it goes on elsewhere than at the beginning isn't news any more.
    if (this.#kept > 0 && !this.#media.paused) this.#hide(this.#resumed);
    this.#kept = now;
    this.#keep();
  }

  async #look(): Promise<void> {
    try {
      this.#learn(await api.video(this.#id, this.#token));
    } catch (problem) {
      this.#lookFailed(problem);
    }
  }

  #lookFailed(problem: unknown): void {
    const missing = problem instanceof api.Problem && [401, 403, 404, 410].includes(problem.status);
    const said = problem instanceof api.Problem ? problem : null;
    if (missing && this.#token) {
      this.#stopWatching();
      this.#media.pause();
      this.#curtainSays("alert", words.problem.linkOver, words.problem.linkOverDetail);
      this.dispatchEvent(new Unauthorized());
    } else if (missing) {
      this.#stopWatching();
      const out = isOurs && window.top === window;
      const way = out ? h("a", { class: "button", href: "/library" }, words.nav.library) : undefined;
      this.#curtainSays("alert", words.problem.notFound, words.problem.notFoundDetail, way);
    } else if (this.#video) {
      this.#lookIn(POLL_MS);
    } else {
      const again = button("retry", words.problem.retry, () => void this.#look());
      this.#curtainSays("alert", said?.title ?? words.problem.unknown, said?.detail ?? "", again);
    }
  }

  /** Takes the newest description and does what follows from it. */
  #learn(video: api.Video): void {
    if (!this.isConnected) return;
    this.#video = video;
    this.dispatchEvent(new VideoChanged(video));
    this.#media.setAttribute("aria-label", w.label(video.title));
    const poster = video.playback?.poster;
    if (poster && this.#media.poster !== new URL(poster, location.href).href) {
      this.#media.poster = poster;
    }
    this.#controls.learn(video);
    const hls = video.playback?.hls ?? null;
    const url = hls ?? video.playback?.mp4 ?? null;
    const playable = video.playable !== false && url !== null;
    if (!playable) this.#explain(video);
    else if (!this.#url) void this.#load(url, this.#beginning(video));
    else if (this.#isRenewed) this.#reload(url);
    this.#isRenewed &&= !playable;
    const over = video.state === "ready" || video.state === "failed";
    show(this.#growing, playable && !over);
    if (playable && video.state === "ready" && this.#loadedEarly) this.#offerBetter();
    if (over) this.#stopWatching();
    else this.#watch();
  }

  /** Returns where to begin: where the page says, else where it was left. */
  #beginning(video: api.Video): number {
    const told = memory.secondsOf(this.getAttribute("start"));
    const wanted = told ?? memory.placeOf(this.#id);
    const made = video.state === "ready" ? null : video.playback?.playableSeconds;
    if (made !== null && wanted > (made ?? 0) - MADE_MARGIN_SECONDS) return 0;
    if (told === null && wanted > 0) {
      const at = w.resumed(units.clock(Math.floor(wanted)));
      this.#resumed.lastElementChild?.replaceChildren(units.facts(at, w.restart));
      show(this.#resumed, true);
    }
    return wanted;
  }

  #restart(): void {
    show(this.#resumed, false);
    memory.forgetPlace(this.#id);
    this.seek(0);
    this.#controls.first.focus();
  }

  /** Follows the video's life: by events, and by asking now and then where they don't come. */
  #watch(): void {
    this.#events ??= new Events(
      {
        onEvent: (event) => this.#heard(event),
        onOpen: () => void this.#look(),
        onDown: () => this.#lookIn(POLL_MS),
      },
      [this.#id],
      this.#token,
    );
  }

  #heard(event: ServerEvent): void {
    if (!isOfVideo(event) || event.videoId !== this.#id) return;
    if (event.video) this.#learn(event.video);
    else if (event.type === "video.progress" && this.#video) {
      this.#learn(withReport(this.#video, event));
    } else void this.#look();
  }

  #lookIn(ms: number): void {
    window.clearTimeout(this.#poll);
    this.#poll = window.setTimeout(() => void this.#look(), ms);
  }

  #stopWatching(): void {
    window.clearTimeout(this.#poll);
    this.#events?.close();
    this.#events = null;
  }

  #explain(video: api.Video): void {
    const share = shareOf(video.processing);
    if (video.state === "failed") {
      const { error } = video;
      const why = words.sentences(error?.title, error && api.explained(error));
      this.#curtainSays("alert", w.failed, why);
    } else if (video.kind === "file") this.#curtainSays("file", w.file, "");
    else if (video.state === "uploading")
      this.#curtainSays("upload", w.uploading, w.uploadingDetail);
    else if (video.state === "queued") this.#curtainSays("film", w.queued, "");
    else {
      const stage = video.processing?.stages.find((one) => one.state === "running");
      const bar = h("progress", { max: 1, "aria-label": w.processing });
      if (share > 0) bar.value = share;
      const much = share > 0 && units.share(share);
      const detail = units.facts(stage && stageWord(stage.name), much);
      this.#curtainSays("film", w.processing, detail, bar);
    }
  }

  #curtainSays(name: Parameters<typeof icon>[0], title: string, detail: string, more?: Node): void {
    const frame = this.#curtain.parentElement ?? this.#curtain;
    const draw = () => this.#drawCurtain(name, title, detail, more);
    void keepFocus(frame, draw, () => firstControl(this.#curtain), () => this.#curtain);
  }

  #drawCurtain(name: Parameters<typeof icon>[0], title: string, detail: string, more?: Node): void {
    const poster = this.#video?.playback?.poster;
    this.#curtain.replaceChildren(
      ...(poster ? [h("img", { src: poster, alt: "" })] : []),
      h(
        "div",
        { class: "curtain-words", role: "status" },
        icon(name),
        h("strong", {}, title),
        detail ? h("span", {}, detail) : null,
        more,
      ),
    );
    show(this.#curtain, true);
    this.#controls.curtain(true);
  }

  #raise(): void {
    if (this.#curtain.hidden) return;
    const raise = () => {
      show(this.#curtain, false);
      this.#controls.curtain(false);
    };
    void keepFocus(this.#curtain, raise, () => this.#controls.first);
  }

  /** Takes a chip away; a focus in it goes on to the controls. */
  #hide(chip: HTMLElement): void {
    void keepFocus(chip, () => show(chip, false), () => this.#controls.first);
  }

  async #load(url: string, at: number, play = this.hasAttribute("autoplay")): Promise<void> {
    this.#url = url;
    this.#loadedEarly = this.#video?.state !== "ready";
    const isHls = url === this.#video?.playback?.hls;
    await this.#source.load(url, isHls, this.#video?.playback?.captions ?? [], at);
    // A browser that doesn't let it shows the button to play.
    if (play) void this.#media.play().catch(() => undefined);
  }

  #playFailed(why: "network" | "decode"): void {
    const again = button("retry", words.problem.retry, () => this.#reload());
    const [title, detail] =
      why === "network" ? [w.network, w.networkDetail] : [w.decode, w.decodeDetail];
    this.#curtainSays("alert", title, detail, again);
    // Its time may be over; what is fetched of the film says no more than that it failed.
    if (this.#token && why === "network") void this.#look();
  }

  /** Loads the playlist anew, or another, and goes on at the same moment. */
  #reload(url = this.#url): void {
    if (!url) return;
    const { paused, currentTime, playbackRate } = this.#media;
    this.#hide(this.#better);
    void this.#load(url, currentTime, !paused).then(() => {
      this.#media.playbackRate = playbackRate;
    });
  }

  /** The list that plays may lack the later qualities, and the words: swap it unseen, or offer to. */
  #offerBetter(): void {
    const ready = this.#video?.renditions?.filter((one) => one.kind === "video").length;
    const texts = this.#video?.playback?.captions?.length ?? 0;
    const loaded = this.#source.counts;
    const wordless = texts > (loaded?.texts ?? texts);
    if (ready !== undefined && ready <= (loaded?.qualities ?? 0) && !wordless) {
      this.#loadedEarly = false;
      return;
    }
    // The place says less: hls.js moves it by a picture or two where a list doesn't begin at zero.
    if (this.#media.paused && this.#media.played.length === 0) this.#reload();
    else show(this.#better, true);
  }
}
