/**
 * How a file's bytes get to the server, once: whether and when to try again is the queue's
 * business. There are two ways. Numbered parts go side by side and in the order in which work on
 * the film can begin; tus goes from start to end, through whatever lets only little at once pass.
 */

import * as api from "./api";
import { Problem } from "./api";
import { sendInParts } from "./parts";
import { recall } from "./resume";
import { sha256 } from "./sha256";
import { sumOfPiece } from "./sums";
import { words } from "./words";

export interface Sending {
  file: File;
  /** Where the upload lives, or null to create one. */
  url: string | null;
  /** The file's mark, for a way that keeps no sums of what has arrived. */
  mark: string;
  /** What a new upload's video is to be called, and so on. */
  about: api.About;
  /** The whole file's SHA-256, soon after all of it has left; null if there is none to be had. */
  sum: Promise<string | null>;
  /** The first chunk's size, where one request carries what the line bears. */
  chunkBytes: number;
  /** A new upload's parts, or null to send it by tus. */
  partBytes: number | null;
}

export interface Ears {
  /** The upload exists; from now on it can be resumed. */
  onUrl(url: string): void;
  onVideo(videoId: string): void;
  /** Bytes of the file that have left, an estimate that may step back. */
  onSent(bytes: number): void;
  /** Bytes that the server has confirmed. */
  onAccepted(bytes: number): void;
  /** The next chunk will have this size. */
  onChunk(bytes: number): void;
  onDone(): void;
  /**
   * It ended early. Nothing more is said after this. `partBytes` is the size of the numbered part
   * that didn't get through; 0 if what failed was something else.
   */
  onProblem(problem: Problem, partBytes: number): void;
}

/** Starts sending and returns the function that stops it; after a stop the ears hear nothing. */
export function send(sending: Sending, ears: Ears): () => void {
  const { url, partBytes } = sending;
  // An upload goes on in the way in which it began, whichever page began it.
  const inParts = url === null ? partBytes !== null : api.isInParts(url);
  return inParts ? sendInParts(sending, ears) : sendLate(sending, ears);
}

/** Sends by tus, whose code is fetched when it is needed, which is seldom. */
function sendLate(sending: Sending, ears: Ears): () => void {
  let isOver = false;
  let stop = () => {};
  import("./tus").then(
    ({ sendByTus }) => {
      if (!isOver) stop = sendByTus(sending, ears);
    },
    () => {
      const { offline, offlineDetail } = words.problem;
      if (!isOver) ears.onProblem(new Problem(0, offline, offlineDetail), 0);
    },
  );
  return () => {
    isOver = true;
    stop();
  };
}

/**
 * Says whether a file is the one of which an upload holds a part. This browser's record knows
 * that. Without one, the upload does: by the mark that it was created with, or by the sums of the
 * first and the last part that have arrived. Where nothing is known, the size has to do.
 */
export async function isSameFile(url: string, file: File, mark: string): Promise<boolean> {
  const kept = recall(url)?.mark;
  if (kept) return kept === mark;
  if (!api.isInParts(url)) {
    const theirs = (await api.uploadMetadata(url)).get("mark");
    return !theirs || theirs === mark;
  }
  const { chunkSize, parts } = await api.uploadStatus(url, true);
  for (const part of [parts?.at(0), parts?.at(-1)]) {
    if (!part || !chunkSize) continue;
    const start = part.index * chunkSize;
    const piece = file.slice(start, start + chunkSize);
    const sum = (await sumOfPiece(piece)) ?? (await sha256(piece));
    if (sum !== part.etag.replaceAll('"', "")) return false;
  }
  return true;
}
