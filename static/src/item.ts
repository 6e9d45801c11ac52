/** A file of the upload page as views see it. The queue alone changes it. */

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
  file: File | null;
  handle: resume.Handle | null;
  /** The upload's address once it exists. */
  url: string | null;
  videoId: string | null;
  video: api.Video | null;
  problem: { title: string; detail: string } | null;
  /** A failed item may be tried again. */
  retryable: boolean;
  /** The next try, as `Date.now()` counts. */
  retryAt: number | null;
  loginNeeded: boolean;
}

/** A file that was given, with its handle where the browser has one. */
export interface Given {
  file: File;
  handle: resume.Handle | null;
}

/** Phases in which something is done for the file here. */
export const busy: readonly Phase[] = ["checking", "uploading", "retrying", "finishing"];
