/** A file of the upload page as views see it. The store alone changes it. */

import type * as api from "./api";
import type * as resume from "./resume";

export type Phase =
  | "waiting"
  | "checking"
  | "uploading"
  | "retrying"
  | "paused"
  | "finishing"
  | "processing"
  | "ready"
  | "failed"
  | "unfinished";

export interface Item {
  readonly key: number;
  name: string;
  size: number;
  phase: Phase;
  /** Bytes that have left for the server; what has to be sent again isn't taken off. */
  sent: number;
  bytesPerSecond: number;
  /** What is sent; kept afterwards for its picture and its sum. */
  file: File | null;
  handle: resume.Handle | null;
  /** The upload's address once it exists. */
  url: string | null;
  videoId: string | null;
  video: api.Video | null;
  problem: Said | null;
  /** A failed item may be tried again. */
  retryable: boolean;
  /** The next try, as `Date.now()` counts. */
  retryAt: number | null;
  loginNeeded: boolean;
  /** What the person said of it here, which the server may not know yet. */
  details: api.Details;
  /** The picture that was chosen and isn't in place yet. */
  poster: { choice: api.PosterChoice; problem: Said | null } | null;
  /** SHA-256 of the whole file in hex, once it is known. */
  sum: string | null;
}

/** What is said to the person. */
export interface Said {
  title: string;
  detail: string;
}

/** A file that was given, with its handle where the browser has one. */
export interface Given {
  file: File;
  handle: resume.Handle | null;
}

/** Phases in which something is done for the file here. */
export const busy: readonly Phase[] = ["checking", "uploading", "retrying", "finishing"];

/** Phases of what hasn't arrived and may still. */
export const open: readonly Phase[] = [...busy, "waiting", "paused"];

/** All bytes are with the server; what it then made of them is another matter. */
export function hasArrived({ phase, video }: Item): boolean {
  return phase === "processing" || phase === "ready" || video?.state === "failed";
}

/** It is left from an earlier visit, and the browser knows where its file is. */
export function isAtHand({ phase, handle }: Item): boolean {
  return phase === "unfinished" && handle !== null;
}
