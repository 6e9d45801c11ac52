/** Makes sums beside the page: of pieces as they are asked for, and of a whole file along the way. */

import { Reader } from "./reader";
import { PIECE_BYTES, Sha256, sha256 } from "./sha256";
import type { Asked, Told } from "./sums";

/** What is known of a file that is summed up as its upload moves. */
interface Whole {
  upTo: number;
  go: () => void;
}

/** Longest piece that is held in memory as a whole. */
const AT_ONCE_BYTES_MAX = 16 * 1024 * 1024;

const wholes = new Map<number, Whole>();
/** For the next piece. */
let buffer = new ArrayBuffer(0);
let piece = Promise.resolve();
const tell = (told: Told) => postMessage(told);

addEventListener("message", ({ data }: MessageEvent<Asked>) => {
  const { id } = data;
  if (data.kind === "piece") {
    // One after the other, for each is in memory as a whole.
    const { blob } = data;
    piece = piece.then(() => answer(id, sumOf(blob)));
  } else if (data.kind === "whole") void answer(id, sumUp(id, data.blob));
  else {
    const whole = wholes.get(id);
    if (data.kind === "stop") wholes.delete(id);
    else if (whole) whole.upTo = data.upTo;
    whole?.go();
  }
});

async function answer(id: number, work: Promise<string | null>): Promise<void> {
  tell({ id, sum: await work.catch(() => null) });
}

/**
 * The browser's own way is several times as fast, where there is one, but it wants all bytes at once
 * and copies them. Pieces that are longer come over lines that are fast on machines that are.
 */
async function sumOf(blob: Blob): Promise<string> {
  if (!self.crypto?.subtle || blob.size > AT_ONCE_BYTES_MAX) return sha256(blob);
  const reader = new Reader(blob, buffer);
  const sum = await crypto.subtle.digest("SHA-256", await reader.next(blob.size));
  reader.close();
  buffer = reader.buffer;
  return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sums up what has been sent, which the machine needn't fetch from the disk again. */
async function sumUp(id: number, blob: Blob): Promise<string | null> {
  const whole: Whole = { upTo: 0, go: () => undefined };
  wholes.set(id, whole);
  const [sum, reader] = [new Sha256(), new Reader(blob)];
  try {
    for (let at = 0; at < blob.size; at += PIECE_BYTES) {
      const end = Math.min(at + PIECE_BYTES, blob.size);
      while (whole.upTo < end && wholes.has(id)) {
        await new Promise<void>((go) => {
          whole.go = go;
        });
      }
      if (!wholes.has(id)) return null;
      sum.add(await reader.next(PIECE_BYTES));
    }
    return sum.end();
  } finally {
    wholes.delete(id);
    reader.close();
  }
}
