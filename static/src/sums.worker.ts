/** Makes sums beside the page: of pieces as they are asked for, and of a whole file along the way. */

import { PIECE_BYTES, Sha256, sha256 } from "./sha256";
import type { Asked, Told } from "./sums";

/** What is known of a file that is summed up as its upload moves. */
interface Whole {
  upTo: number;
  go: () => void;
}

const wholes = new Map<number, Whole>();
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

/** The browser's own way is several times as fast, where there is one. */
async function sumOf(blob: Blob): Promise<string> {
  if (!self.crypto?.subtle) return sha256(blob);
  const sum = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sums up what has been sent, which the machine needn't fetch from the disk again. */
async function sumUp(id: number, blob: Blob): Promise<string | null> {
  const whole: Whole = { upTo: 0, go: () => undefined };
  wholes.set(id, whole);
  const sum = new Sha256();
  for (let at = 0; at < blob.size; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, blob.size);
    while (whole.upTo < end && wholes.has(id)) {
      await new Promise<void>((go) => {
        whole.go = go;
      });
    }
    if (!wholes.has(id)) return null;
    sum.add(await blob.slice(at, end).arrayBuffer());
  }
  wholes.delete(id);
  return sum.end();
}
