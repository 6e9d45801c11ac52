/** What the queue keeps of an item and nobody else needs to see. */

import type { Details } from "./api";
import type { Item } from "./item";
import { Pace, firstChunkBytes } from "./plan";
import type { Summing } from "./sums";

export interface Work {
  stop: (() => void) | null;
  /** Gives up the claim by which other tabs see that this one is sending. */
  release: (() => void) | null;
  timer: number;
  /** Not before this may it be tried again without a person's wish, as `Date.now()` counts. */
  notBefore: number;
  /** Tries in a row without progress, and parts in a row that were cut off. */
  failures: number;
  cuts: number;
  accepted: number;
  chunkBytes: number;
  mark: string | null;
  /** The file was given for an upload that was begun earlier: to be compared first. */
  verify: "strict" | "lenient" | null;
  pace: Pace;
  /** The whole file's sum on its way. */
  summing: Summing | null;
  /** What the server was told of the video, to see whether more is to be told. */
  told: Details | null;
}

export function newWork(chunkBytes: number): Work {
  return {
    stop: null,
    release: null,
    timer: 0,
    notBefore: 0,
    failures: 0,
    cuts: 0,
    accepted: 0,
    chunkBytes: firstChunkBytes(chunkBytes),
    mark: null,
    verify: null,
    pace: new Pace(),
    summing: null,
    told: null,
  };
}

export function newItem(key: number, name: string, size: number, file: File | null): Item {
  return {
    key,
    name,
    size,
    phase: "waiting",
    sent: 0,
    bytesPerSecond: 0,
    file,
    handle: null,
    url: null,
    videoId: null,
    video: null,
    problem: null,
    retryable: false,
    retryAt: null,
    loginNeeded: false,
    details: {},
    poster: null,
    sum: null,
  };
}

/** Ends what is under way here for an item, but not the upload. */
export function halt(work: Work): void {
  window.clearTimeout(work.timer);
  work.stop?.();
  work.stop = null;
}

/** Lets other tabs have the upload. */
export function release(work: Work): void {
  work.release?.();
  work.release = null;
}
