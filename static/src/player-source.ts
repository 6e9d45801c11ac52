/**
 * Where the bytes come from: hls.js, or the browser's own player where that can't run. Tells what
 * there is to choose from, and chooses.
 */

import type Hls from "hls.js";
import { door, isOurs } from "./door";
import * as units from "./units";
import { h } from "./view";
import type { Caption } from "./api";

const RECOVERIES_MAX = 2;
const HLS = "application/vnd.apple.mpegurl";

/** Something to choose, by its place in a list. */
export interface Choice {
  id: number;
  name: string;
}

export interface Listener {
  /** There is something to see. */
  onReady(): void;
  /** There is something else to choose, or something else was chosen. */
  onChoices(): void;
  /** It doesn't go on by itself. */
  onFailed(why: "network" | "decode"): void;
}

export class Source {
  #hls: Hls | null = null;
  #native = false;
  #loads = 0;
  #recoveries = 0;
  #sound = "";

  constructor(
    private readonly media: HTMLVideoElement,
    private readonly listener: Listener,
  ) {
    media.addEventListener("error", () => {
      if (this.#native) listener.onFailed(isOfNetwork(media.error) ? "network" : "decode");
    });
    media.addEventListener("loadedmetadata", () => {
      if (this.#native) listener.onReady();
    });
    for (const type of ["addtrack", "removetrack", "change"]) {
      media.textTracks.addEventListener(type, () => listener.onChoices());
    }
  }

  /** Loads a playlist or a file and begins at `at`; what was loaded before ends. */
  async load(url: string, isHls: boolean, captions: readonly Caption[], at: number): Promise<void> {
    const load = (this.#loads += 1);
    this.#recoveries = 0;
    this.#drop();
    if (!isHls) {
      this.#loadNative(url, captions, at);
      return;
    }
    const { default: HlsClass } = await import("hls.js");
    if (load !== this.#loads) return;
    if (HlsClass.isSupported()) this.#loadHls(HlsClass, url, at);
    // The playlist names the text tracks itself; told twice, each would be offered twice.
    else if (this.media.canPlayType(HLS)) this.#loadNative(url, [], at);
    else this.listener.onFailed("decode");
  }

  close(): void {
    this.#loads += 1;
    this.#drop();
  }

  #drop(): void {
    this.#hls?.destroy();
    this.#hls = null;
    if (this.#native) this.media.removeAttribute("src");
    this.#native = false;
    for (const track of this.media.querySelectorAll("track")) track.remove();
  }

  #loadNative(url: string, captions: readonly Caption[], at: number): void {
    const { media } = this;
    this.#native = true;
    if (!isOurs) media.crossOrigin = "anonymous";
    for (const { url: src, lang, label, kind } of captions) {
      const said = kind === "captions" ? "captions" : "subtitles";
      media.append(h("track", { src, srclang: lang, label: label ?? lang, kind: said }));
    }
    media.addEventListener("loadedmetadata", () => at > 0 && (media.currentTime = at), {
      once: true,
    });
    media.src = url;
  }

  #loadHls(HlsClass: typeof Hls, url: string, at: number): void {
    const { listener } = this;
    const { headers } = door;
    const hls = new HlsClass({
      // A worker's file has to be of the page's own origin.
      ...(isOurs ? { workerPath: "/static/hls.worker.js" } : { enableWorker: false }),
      // A list that still grows looks like live television; people want the beginning.
      startPosition: at,
      liveDurationInfinity: false,
      backBufferLength: 90,
      capLevelToPlayerSize: true,
      xhrSetup: (request) => {
        for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      },
    });
    this.#hls = hls;
    const { Events, ErrorTypes } = HlsClass;
    hls.on(Events.MANIFEST_PARSED, () => {
      listener.onReady();
      listener.onChoices();
    });
    for (const event of [
      Events.AUDIO_TRACKS_UPDATED,
      Events.AUDIO_TRACK_SWITCHING,
      Events.AUDIO_TRACK_SWITCHED,
      Events.LEVELS_UPDATED,
      Events.LEVEL_SWITCHED,
      Events.SUBTITLE_TRACKS_UPDATED,
    ] as const) {
      hls.on(event, () => listener.onChoices());
    }
    hls.on(Events.FRAG_BUFFERED, () => {
      this.#recoveries = 0;
      listener.onReady();
    });
    hls.on(Events.ERROR, (_event, { fatal, type }) => {
      if (!fatal || hls !== this.#hls) return;
      const isNetwork = type === ErrorTypes.NETWORK_ERROR;
      if (!isNetwork && this.#recoveries < RECOVERIES_MAX) {
        this.#recoveries += 1;
        hls.recoverMediaError();
      } else listener.onFailed(isNetwork ? "network" : "decode");
    });
    // A list that was fetched a moment ago may lack what it is loaded again for.
    hls.loadSource(this.#loads > 1 ? `${url}?again=${this.#loads - 1}` : url);
    hls.attachMedia(this.media);
  }

  /** How many qualities and texts the playlist that is loaded has; null where nobody tells. */
  get counts(): { qualities: number; texts: number } | null {
    const hls = this.#hls;
    return hls && { qualities: hls.levels.length, texts: hls.allSubtitleTracks.length };
  }

  /** The qualities, best first. */
  get qualities(): Choice[] {
    const levels = this.#hls?.levels ?? [];
    return levels
      .map((level, id) => ({ id, name: nameOf(level), height: level.height }))
      .sort((a, b) => b.height - a.height);
  }

  /** The quality that was chosen, -1 for none: it follows the line. */
  get quality(): number {
    return this.#hls && !this.#hls.autoLevelEnabled ? this.#hls.manualLevel : -1;
  }

  set quality(id: number) {
    // At once, not after what is buffered: who chooses wants to see it.
    if (this.#hls && id >= 0) this.#hls.currentLevel = id;
    else if (this.#hls) this.#hls.nextLevel = id;
    this.listener.onChoices();
  }

  /** What the quality that plays is called. */
  get playing(): string {
    const level = this.#hls?.levels[this.#hls.currentLevel];
    return level ? nameOf(level) : "";
  }

  /** The languages that are heard. */
  get sounds(): Choice[] {
    return (this.#hls?.audioTracks ?? []).map(({ name }, id) => ({ id, name }));
  }

  get sound(): number {
    const hls = this.#hls;
    if (!hls) return -1;
    // Between two lists of sounds, as when the quality changes, none is chosen for a moment.
    const kept = hls.audioTracks.findIndex(({ name }) => name === this.#sound);
    const now = hls.audioTrack >= 0 ? hls.audioTrack : Math.max(kept, 0);
    this.#sound = hls.audioTracks[now]?.name ?? this.#sound;
    return now;
  }

  set sound(id: number) {
    if (this.#hls) this.#hls.audioTrack = id;
    this.listener.onChoices();
  }

  /** The texts that can be read along. */
  get texts(): TextTrack[] {
    return [...this.media.textTracks].filter(
      ({ kind }) => kind === "subtitles" || kind === "captions",
    );
  }

  get text(): TextTrack | null {
    return this.texts.find(({ mode }) => mode === "showing") ?? null;
  }

  set text(chosen: TextTrack | null) {
    for (const track of this.texts) track.mode = track === chosen ? "showing" : "disabled";
  }
}

function nameOf(level: { height: number; name: string; bitrate: number }): string {
  return level.height ? `${level.height}p` : level.name || units.bitRate(level.bitrate);
}

function isOfNetwork(error: MediaError | null): boolean {
  return error?.code === 2; // MEDIA_ERR_NETWORK
}
