/**
 * What the server tells while it happens (server-sent events), for as long as the page is seen.
 *
 * A browser allows six connections to one host over HTTP/1.1 and every open stream costs one, so
 * a hidden tab lets go of its own. Whoever listens is told with `onOpen` to look at the present
 * state first: between two streams things may have happened.
 */

import type { QueueNumbers, Video } from "./api";
import { door } from "./door";
import type { Report } from "./progress";
import { TokenStream } from "./stream";

/** News of a video. `video` is null when it is gone, and missing from mere reports of progress. */
export type VideoEvent = Report & { type: VideoEventType; videoId: string; video?: Video | null };
export type UploadEvent =
  | { type: "upload.progress"; videoId: string; receivedBytes: number; size: number | null }
  | { type: "upload.completed" | "upload.expired"; videoId: string };
export type ServerEvent =
  VideoEvent | UploadEvent | ({ type: "queue"; videoId?: null } & Partial<QueueNumbers>);

export function isOfVideo(event: ServerEvent): event is VideoEvent {
  return event.type.startsWith("video.");
}

const videoTypes = [
  "video.state",
  "video.progress",
  "video.playable",
  "video.ready",
  "video.failed",
] as const;
export type VideoEventType = (typeof videoTypes)[number];
const uploadTypes = ["upload.progress", "upload.completed", "upload.expired"] as const;

export interface Listener {
  onEvent(event: ServerEvent): void;
  /** The stream has (re)opened: what happened before isn't in it. */
  onOpen?(): void;
  /** The stream is down; it is tried again until `close`. */
  onDown?(): void;
}

/** More ids than this would make an address that is too long; then all events are listened to. */
const IDS_MAX = 200;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

export class Events {
  #source: EventSource | TokenStream | null = null;
  #timer = 0;
  #failures = 0;
  #closed = false;

  /** Listens to `videoIds`, or with null to all that the caller may see; by a playback token. */
  constructor(
    private readonly listener: Listener,
    private videoIds: readonly string[] | null = null,
    private readonly token = "",
  ) {
    document.addEventListener("visibilitychange", this.#onVisibility);
    window.addEventListener("pagehide", this.#onHide);
    window.addEventListener("pageshow", this.#onVisibility);
    this.#open();
  }

  /** Listens to other videos from now on. An empty list closes the stream until there is one. */
  follow(videoIds: readonly string[]): void {
    if (this.videoIds?.join() === videoIds.join()) return;
    const wereMany = (this.videoIds?.length ?? 0) > IDS_MAX;
    this.videoIds = videoIds;
    // All are listened to, and go on to be.
    if (wereMany && videoIds.length > IDS_MAX && this.#source) return;
    this.#shut();
    // Several files that begin in one moment need one new stream, not one each.
    this.#timer = window.setTimeout(() => this.#open(), 150);
  }

  close(): void {
    this.#closed = true;
    this.#shut();
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.removeEventListener("pagehide", this.#onHide);
    window.removeEventListener("pageshow", this.#onVisibility);
  }

  readonly #onVisibility = () => {
    if (document.visibilityState === "hidden") this.#shut();
    else if (!this.#source) this.#open();
  };

  readonly #onHide = () => this.#shut();

  #shut(): void {
    window.clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #open(): void {
    this.#shut();
    if (this.#closed || document.visibilityState === "hidden") return;
    if (this.videoIds && this.videoIds.length === 0) return;
    const some = this.videoIds && this.videoIds.length <= IDS_MAX;
    const filter = some ? `?videoIds=${this.videoIds?.join(",")}` : "";
    const address = door.url(`/api/events${filter}`);
    // An EventSource can't say who calls.
    const byToken = this.token || door.token;
    const source = byToken ? new TokenStream(address, this.token) : new EventSource(address);
    this.#source = source;
    source.onopen = () => {
      this.#failures = 0;
      this.listener.onOpen?.();
    };
    source.onerror = () => {
      if (source !== this.#source) return;
      this.listener.onDown?.();
      // The browser tries again by itself (with Last-Event-ID) unless the answer was a refusal.
      if (source.readyState !== EventSource.CLOSED) return;
      this.#shut();
      const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures);
      this.#failures += 1;
      this.#timer = window.setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
    };
    for (const type of [...videoTypes, ...uploadTypes, "queue"]) {
      source.addEventListener(type, (message) => {
        const data = parse((message as MessageEvent<string>).data);
        if (data) this.listener.onEvent({ ...data, type } as ServerEvent);
      });
    }
  }
}

function parse(data: string): object | null {
  try {
    const parsed = door.read(data);
    return parsed && typeof parsed === "object" ? parsed : null;
  } catch {
    return null;
  }
}
