/**
 * `<slipway-player video="ID">`: plays a video, also while it is still being made, and says in a
 * sentence what keeps it from playing. The browser's own controls do the rest; beside them stand
 * a choice of quality, of language and of speed.
 */

import type Hls from "hls.js";
import * as api from "./api";
import { Events, isOfVideo, type ServerEvent } from "./events";
import { shareOf, withReport } from "./progress";
import * as units from "./units";
import { button, h, icon, show, text } from "./view";
import { stageWord, words } from "./words";

const w = words.player;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
/** How soon to look again where the stream of events doesn't come through. */
const POLL_MS = 3_000;
const MEDIA_RECOVERIES_MAX = 2;

/** What the player tells the page it stands in: the newest description of its video. */
export class VideoChanged extends CustomEvent<api.Video> {
  constructor(video: api.Video) {
    super("slipway-video", { detail: video });
  }
}

export class SlipwayPlayer extends HTMLElement {
  readonly #media = h("video", { controls: true, playsinline: true, preload: "metadata" });
  readonly #curtain = h("div", { class: "curtain" });
  readonly #quality = h("select", { "aria-label": w.quality });
  readonly #speed = h("select", { "aria-label": w.speed });
  readonly #sound = h("select", { "aria-label": w.sound });
  readonly #soundBox = h("label", { hidden: true }, h("span", {}, w.sound), this.#sound);
  readonly #chapter = h("select", { "aria-label": w.chapter });
  readonly #chapterBox = h("label", { hidden: true }, h("span", {}, w.chapter), this.#chapter);
  readonly #better = button("retry", w.better, () => this.#reload(), { class: "button small" });
  readonly #growing = h("span", { class: "muted small growing", hidden: true }, w.growing);
  #qualityBox = h("label", { hidden: true }, h("span", {}, w.quality), this.#quality);
  #video: api.Video | null = null;
  #events: Events | null = null;
  #poll = 0;
  #hls: Hls | null = null;
  #source: string | null = null;
  /** The playlist that plays was loaded when the video wasn't complete yet. */
  #loadedEarly = false;
  #recoveries = 0;
  #reloads = 0;

  connectedCallback(): void {
    for (const speed of SPEEDS) {
      this.#speed.append(h("option", { value: speed, selected: speed === 1 }, `${speed}×`));
    }
    this.#better.hidden = true;
    this.replaceChildren(
      h("div", { class: "stage" }, this.#media, this.#curtain),
      h(
        "div",
        { class: "player-bar" },
        this.#growing,
        this.#better,
        h("span", { class: "spring" }),
        this.#chapterBox,
        this.#soundBox,
        h("label", {}, h("span", {}, w.speed), this.#speed),
        this.#qualityBox,
      ),
    );
    this.#speed.addEventListener("change", () => {
      this.#media.playbackRate = Number(this.#speed.value);
    });
    this.#chapter.addEventListener("change", () => {
      this.#media.currentTime = Number(this.#chapter.value);
    });
    this.#media.addEventListener("timeupdate", () => this.#markChapter());
    this.#quality.addEventListener("change", () => {
      const level = Number(this.#quality.value);
      // At once, not after what is buffered: who chooses wants to see it.
      if (this.#hls && level >= 0) this.#hls.currentLevel = level;
      else if (this.#hls) this.#hls.nextLevel = level;
    });
    this.#sound.addEventListener("change", () => {
      if (this.#hls) this.#hls.audioTrack = Number(this.#sound.value);
    });
    this.#media.addEventListener("ratechange", () => {
      this.#speed.value = String(this.#media.playbackRate);
    });
    this.#curtainSays("film", w.loading, "");
    void this.#look();
  }

  disconnectedCallback(): void {
    window.clearTimeout(this.#poll);
    this.#events?.close();
    this.#events = null;
    this.#hls?.destroy();
    this.#hls = null;
  }

  get #id(): string {
    return this.getAttribute("video") ?? "";
  }

  async #look(): Promise<void> {
    try {
      this.#learn(await api.video(this.#id));
    } catch (problem) {
      this.#lookFailed(problem);
    }
  }

  #lookFailed(problem: unknown): void {
    const missing = problem instanceof api.Problem && [401, 403, 404, 410].includes(problem.status);
    const said = problem instanceof api.Problem ? problem : null;
    if (missing) {
      this.#stopWatching();
      this.#curtainSays("alert", words.problem.notFound, words.problem.notFoundDetail);
    } else if (this.#video) {
      this.#lookIn(POLL_MS);
    } else {
      const again = button("retry", words.problem.retry, () => void this.#look());
      this.#curtainSays("alert", said?.title ?? words.problem.unknown, said?.detail ?? "", again);
    }
  }

  /** Takes the newest description and does what follows from it. */
  #learn(video: api.Video): void {
    this.#video = video;
    this.dispatchEvent(new VideoChanged(video));
    this.#media.setAttribute("aria-label", w.label(video.title));
    const poster = video.playback?.poster;
    if (poster && this.#media.poster !== new URL(poster, location.href).href) {
      this.#media.poster = poster;
    }
    this.#drawChapters(video.playback?.chapters?.items ?? []);
    const hls = video.playback?.hls ?? null;
    const mp4 = video.playback?.mp4 ?? null;
    const playable = video.playable !== false && (hls ?? mp4) !== null;
    if (!playable) this.#explain(video);
    else if (!this.#source) void this.#load((hls ?? mp4) as string, hls !== null);
    const over = video.state === "ready" || video.state === "failed";
    show(this.#growing, playable && !over);
    if (playable && video.state === "ready" && this.#loadedEarly) this.#offerBetter();
    if (over) this.#stopWatching();
    else this.#watch();
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
      const why = [video.error?.title, video.error && api.explained(video.error)]
        .filter(Boolean)
        .join(". ");
      this.#curtainSays("alert", w.failed, why);
    } else if (video.kind === "file") this.#curtainSays("file", w.file, "");
    else if (video.state === "uploading")
      this.#curtainSays("upload", w.uploading, w.uploadingDetail);
    else if (video.state === "queued") this.#curtainSays("film", w.queued, "");
    else {
      const stage = video.processing?.stages.find((one) => one.state === "running");
      const bar = h("progress", { max: 1, "aria-label": w.processing });
      if (share > 0) bar.value = share;
      const detail = stage ? stageWord(stage.name) : "";
      const much = share > 0 ? ` · ${units.share(share)}` : "";
      this.#curtainSays("film", w.processing, detail + much, bar);
    }
  }

  #curtainSays(name: Parameters<typeof icon>[0], title: string, detail: string, more?: Node): void {
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
    this.#media.tabIndex = -1;
  }

  #raise(): void {
    show(this.#curtain, false);
    this.#media.removeAttribute("tabindex");
  }

  async #load(url: string, isHls: boolean, at = 0): Promise<void> {
    this.#source = url;
    this.#loadedEarly = this.#video?.state !== "ready";
    // The playlist names the text tracks itself; told twice, each would be offered twice.
    this.#drawCaptions(isHls);
    if (!isHls) {
      this.#loadNative(url, at);
      return;
    }
    const { default: HlsClass } = await import("hls.js");
    if (!this.isConnected) return;
    if (!HlsClass.isSupported()) {
      if (this.#media.canPlayType("application/vnd.apple.mpegurl")) this.#loadNative(url, at);
      else this.#curtainSays("alert", w.decode, w.decodeDetail);
      return;
    }
    this.#hls?.destroy();
    const hls = new HlsClass({
      workerPath: "/static/hls.worker.js",
      // A list that still grows looks like live television; people want the beginning.
      startPosition: at,
      liveDurationInfinity: false,
      backBufferLength: 90,
      capLevelToPlayerSize: true,
    });
    this.#hls = hls;
    hls.on(HlsClass.Events.MANIFEST_PARSED, () => {
      this.#raise();
      this.#drawQualities();
    });
    hls.on(HlsClass.Events.AUDIO_TRACKS_UPDATED, () => this.#drawSounds());
    hls.on(HlsClass.Events.AUDIO_TRACK_SWITCHING, () => this.#drawSounds());
    hls.on(HlsClass.Events.AUDIO_TRACK_SWITCHED, () => this.#drawSounds());
    hls.on(HlsClass.Events.LEVELS_UPDATED, () => this.#drawQualities());
    hls.on(HlsClass.Events.LEVEL_SWITCHED, () => this.#drawQualities());
    hls.on(HlsClass.Events.FRAG_BUFFERED, () => {
      this.#recoveries = 0;
      if (!this.#curtain.hidden) this.#raise();
    });
    hls.on(HlsClass.Events.ERROR, (_event, data) => {
      if (data.fatal) this.#playFailed(hls, data.type === HlsClass.ErrorTypes.NETWORK_ERROR);
    });
    // A list that was fetched a moment ago may lack what it is loaded again for.
    hls.loadSource(this.#reloads > 0 ? `${url}?again=${this.#reloads}` : url);
    hls.attachMedia(this.#media);
  }

  #loadNative(url: string, at: number): void {
    this.#media.src = url;
    this.#media.addEventListener(
      "loadedmetadata",
      () => {
        if (at > 0) this.#media.currentTime = at;
      },
      { once: true },
    );
    this.#media.addEventListener(
      "error",
      () => this.#curtainSays("alert", w.decode, w.decodeDetail),
      {
        once: true,
      },
    );
    this.#raise();
  }

  #playFailed(hls: Hls, network: boolean): void {
    if (hls !== this.#hls) return;
    if (!network && this.#recoveries < MEDIA_RECOVERIES_MAX) {
      this.#recoveries += 1;
      hls.recoverMediaError();
      return;
    }
    const again = button("retry", words.problem.retry, () => this.#reload());
    const [title, detail] = network ? [w.network, w.networkDetail] : [w.decode, w.decodeDetail];
    this.#curtainSays("alert", title, detail, again);
  }

  /** Loads the playlist anew and goes on at the same moment. */
  #reload(): void {
    const url = this.#source;
    if (!url) return;
    const playing = !this.#media.paused;
    const at = this.#media.currentTime;
    const rate = this.#media.playbackRate;
    show(this.#better, false);
    this.#reloads += 1;
    this.#recoveries = 0;
    void this.#load(url, url === this.#video?.playback?.hls, at).then(() => {
      this.#media.playbackRate = rate;
      if (playing) void this.#media.play().catch(() => undefined);
    });
  }

  /** The list that plays may lack the later qualities, and the words: swap it unseen, or offer to. */
  #offerBetter(): void {
    const ready = this.#video?.renditions?.filter((one) => one.kind === "video").length;
    const loaded = this.#hls?.levels.length ?? 0;
    const texts = this.#video?.playback?.captions?.length ?? 0;
    const wordless = texts > (this.#hls?.allSubtitleTracks.length ?? texts);
    if (ready !== undefined && ready <= loaded && !wordless) {
      this.#loadedEarly = false;
      return;
    }
    // The place says less: hls.js moves it by a picture or two where a list doesn't begin at zero.
    if (this.#media.paused && this.#media.played.length === 0) this.#reload();
    else show(this.#better, true);
  }

  #drawQualities(): void {
    const hls = this.#hls;
    if (!hls) return;
    const name = (level: { height: number; name: string; bitrate: number }) =>
      level.height ? `${level.height}p` : level.name || units.bitRate(level.bitrate);
    const now = hls.levels[hls.currentLevel];
    const auto = hls.autoLevelEnabled && now ? w.autoNow(name(now)) : w.auto;
    const options = hls.levels
      .map((level, index) => ({ index, name: name(level), height: level.height }))
      .sort((a, b) => b.height - a.height);
    const wanted = ["-1", ...options.map((option) => String(option.index))].join();
    const drawn = [...this.#quality.options].map((option) => option.value).join();
    if (wanted !== drawn) {
      this.#quality.replaceChildren(
        h("option", { value: -1 }, auto),
        ...options.map((option) => h("option", { value: option.index }, option.name)),
      );
    }
    const first = this.#quality.options[0];
    if (first) text(first, auto);
    this.#quality.value = hls.autoLevelEnabled ? "-1" : String(hls.manualLevel);
    show(this.#qualityBox, hls.levels.length > 1);
  }

  /** Offers the languages of a film that has several. */
  #drawSounds(): void {
    const hls = this.#hls;
    if (!hls) return;
    const names = hls.audioTracks.map((track) => track.name);
    // Between two lists of sounds, as when the quality changes, none is chosen for a moment.
    const kept = names.indexOf(this.#sound.selectedOptions[0]?.text ?? "");
    this.#sound.replaceChildren(...names.map((name, index) => h("option", { value: index }, name)));
    this.#sound.value = String(hls.audioTrack >= 0 ? hls.audioTrack : Math.max(kept, 0));
    show(this.#soundBox, hls.audioTracks.length > 1);
  }

  #drawChapters(chapters: api.Chapter[]): void {
    if (chapters.length !== this.#chapter.options.length) {
      this.#chapter.replaceChildren(
        ...chapters.map((one) => h("option", { value: one.start }, one.title)),
      );
    }
    show(this.#chapterBox, chapters.length > 1);
  }

  /** Shows the chapter that plays, unless somebody is choosing one. */
  #markChapter(): void {
    if (document.activeElement === this.#chapter) return;
    const begun = [...this.#chapter.options].filter(
      (option) => Number(option.value) <= this.#media.currentTime + 0.01,
    );
    const now = begun.at(-1);
    if (now) this.#chapter.value = now.value;
  }

  #drawCaptions(named: boolean): void {
    for (const track of this.#media.querySelectorAll("track")) track.remove();
    const { captions = [], chapters } = this.#video?.playback ?? {};
    for (const caption of named ? [] : captions) {
      const label = caption.label ?? caption.lang;
      const kind = caption.kind === "captions" ? "captions" : "subtitles";
      this.#media.append(h("track", { src: caption.url, srclang: caption.lang, label, kind }));
    }
    if (chapters) this.#media.append(h("track", { src: chapters.url, kind: "chapters" }));
  }
}
