/** What to send in which portions, how long to wait after a failure, how fast it goes. Pure. */

/** Files on their way at once; more would only share the same line. */
export const FILES_AT_ONCE = 3;
/** No byte moved for this long: the connection is dead, though nobody has said so. */
export const STALL_MS = 20_000;
/** All bytes are out and the server syncs them to disk: that may take longer. */
export const ANSWER_MS = 120_000;

const CHUNK_MIN = 256 * 1024;
const CHUNK_MAX = 512 * 1024 * 1024;
/** A chunk should take about this long: rare enough to cost nothing, often enough to learn. */
const CHUNK_AIM_MS = 7_500;

const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;

/** Returns the next chunk's size after one of `bytes` took `tookMs`; at most fourfold steps. */
export function nextChunkBytes(bytes: number, tookMs: number): number {
  const ideal = (bytes * CHUNK_AIM_MS) / Math.max(1, tookMs);
  return clamp(Math.min(bytes * 4, Math.max(bytes / 4, ideal)), CHUNK_MIN, CHUNK_MAX);
}

/** Returns a smaller chunk after something in between refused this one, or null at the least. */
export function smallerChunkBytes(bytes: number): number | null {
  return bytes <= CHUNK_MIN ? null : clamp(bytes / 2, CHUNK_MIN, CHUNK_MAX);
}

/** Returns the first chunk's size from what the server suggests. */
export function firstChunkBytes(suggested: number): number {
  return clamp(suggested || 8 * 1024 * 1024, CHUNK_MIN, CHUNK_MAX);
}

/**
 * Returns how long to wait before the next try. `failures` counts those without progress between
 * them, `random` is 0..1 (full jitter, so that a thousand browsers don't come back as one). What
 * the server asks for is the least.
 */
export function backoffMs(failures: number, retryAfterMs: number | null, random: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, failures - 1));
  const wait = Math.max(250, ceiling * random);
  return retryAfterMs === null ? wait : retryAfterMs + wait;
}

function clamp(value: number, min: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, value)));
}

const PACE_WINDOW_MS = 8_000;

/** How fast bytes move, smoothed over a few seconds so that the numbers can be read. */
export class Pace {
  #samples: { at: number; bytes: number }[] = [];

  /** Notes that `bytes` in all have gone out at `at` (milliseconds). */
  add(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    // The server may know of fewer bytes than were sent: what came before is no measure then.
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && at - (this.#samples[0]?.at ?? at) > PACE_WINDOW_MS) {
      this.#samples.shift();
    }
  }

  /** Returns bytes a second, or 0 while it is too early to say. */
  bytesPerSecond(at: number): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || at - first.at < 500) return 0;
    return ((last.bytes - first.bytes) * 1000) / (at - first.at);
  }

  reset(): void {
    this.#samples = [];
  }
}
