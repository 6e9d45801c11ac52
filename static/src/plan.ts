/**
 * What to send in which portions and in which order, how many at once, how long to wait after a
 * failure, how fast it goes. Pure.
 */

/** Files on their way at once; more would only share the same line. */
const FILES_AT_ONCE = 3;
/** Of small files most of the time goes into asking and being answered. */
const SMALL_AT_ONCE = 5;
const SMALL_BYTES_MAX = 1024 * 1024;

/** Says whether a file of so many bytes may set out while files of these sizes are on their way. */
export function maySetOut(bytes: number, going: readonly number[]): boolean {
  const isSmall = (size: number) => size <= SMALL_BYTES_MAX;
  const most = isSmall(bytes) && going.every(isSmall) ? SMALL_AT_ONCE : FILES_AT_ONCE;
  return going.length < most;
}

/** No byte moved for this long: the connection is dead, though nobody has said so. */
export const STALL_MS = 20_000;
/** No byte moved for this long: others needn't wait until that connection is known to be dead. */
export const QUIET_MS = 2_000;
/** All bytes are out and the server syncs them to disk: that may take longer. */
export const ANSWER_MS = 120_000;

/** A file up to this size is compared as a whole at its end, too. */
export const WHOLE_SUM_BYTES_MAX = 256 * 1024 * 1024;

const CHUNK_MIN = 256 * 1024;
const CHUNK_MAX = 64 * 1024 * 1024;
/** A chunk should take about this long: rare enough to cost nothing, often enough to learn. */
const CHUNK_AIM_MS = 7_500;

/** Numbered parts are cut once for all; the server takes this many. */
export const PARTS_MAX = 10_000;
const PART_MIN = CHUNK_MIN;
const PART_MAX = CHUNK_MAX;
/** A part that breaks off is sent again whole, and nothing of it plays before all has arrived. */
const PART_AIM_MS = 5_000;
/** While nothing is known of the line. */
const PART_USUAL = 512 * 1024;
/** What nginx lets through unless it is told otherwise. */
const BODY_USUAL = 1024 * 1024;
/** Of a large file, so many more would only keep the server's records busy. */
const PARTS_USUAL = 5_000;

/** A film has at least so many: it plays when those that hold its first seconds are here whole. */
const PARTS_MIN = 64;

/** Less in one request isn't tried. */
const BODY_MIN = 64 * 1024;

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

/**
 * Returns the first chunk's size where the server suggests one. A chunk that breaks off is lost
 * whole, as it goes with its sum, so little is risked until the line is known.
 */
export function firstChunkBytes(suggested: number): number {
  return clamp(Math.min(suggested, BODY_USUAL), CHUNK_MIN, CHUNK_MAX);
}

/**
 * Returns the size of a new upload's parts, or null if it can't be cut so that each gets through.
 * `atOnce` of them share the line, whose speed may be unknown (0); `bodyMax` bounds one request.
 */
export function partBytes(
  size: number,
  bytesPerSecond: number,
  atOnce: number,
  bodyMax: number,
): number | null {
  const aim = (bytesPerSecond * PART_AIM_MS) / 1000 / Math.max(1, atOnce);
  // Nothing is gained by many where all of it is over in a moment.
  const isBrief = aim * atOnce >= size;
  const known = isBrief ? aim : Math.min(aim, Math.max(PART_USUAL, size / PARTS_MIN));
  const ideal = bytesPerSecond > 0 ? known : Math.max(PART_USUAL, size / PARTS_USUAL);
  const least = Math.max(PART_MIN, Math.ceil(size / PARTS_MAX));
  return least > bodyMax ? null : clamp(ideal, least, Math.max(least, Math.min(PART_MAX, bodyMax)));
}

/**
 * Returns a part's size of `bytes` or less by which a part begins at `start`, or a few bytes before
 * it: where a film's index stands behind all else, so little is sent along with it then.
 */
export function partBytesUpTo(start: number, bytes: number, size: number): number {
  if (start < bytes) return bytes;
  const fitting = Math.floor(start / Math.ceil(start / bytes));
  return fitting >= PART_MIN && size / fitting <= PARTS_MAX ? fitting : bytes;
}

/** Returns how much one request may carry after one of `bytes` didn't get through. */
export function smallerBody(bytes: number): number {
  // In big steps, for each costs an upload that is begun in vain; a megabyte nearly always passes.
  if (bytes > BODY_USUAL) return Math.max(BODY_USUAL, Math.floor(bytes / 8));
  return Math.max(BODY_MIN, Math.floor(bytes / 4));
}

export type Range = readonly [start: number, end: number];

/**
 * Returns the missing parts in the order in which they are sent, each once: those in which bytes
 * of `first` lie, in its order, then the rest from the start on.
 */
export function inOrder(
  missing: readonly number[],
  first: readonly Range[],
  bytes: number,
): number[] {
  const left = new Set([...missing].sort((a, b) => a - b));
  const order: number[] = [];
  for (const [start, end] of first) {
    for (const index of left) {
      if (index * bytes >= end) break;
      if ((index + 1) * bytes <= start) continue;
      order.push(index);
      left.delete(index);
    }
  }
  return [...order, ...left];
}

/** What is known when a request for an upload in parts wasn't answered as it should be. */
export interface Refusal {
  status: number;
  /** The server's own code; nothing if it wasn't the server that answered, or nobody did. */
  code: string;
  /** Size of the part that didn't get through; 0 for a question. */
  partBytes: number;
  /** Bytes of the upload that have arrived. */
  accepted: number;
  /** Parts in a row that were cut off, and tries in a row without progress. */
  cuts: number;
  failures: number;
}

/** Says whether a part was cut off: by the line, or by a proxy whose patience is over. */
export function isCut(status: number): boolean {
  return [0, 408, 504, 524].includes(status);
}

const CUTS_MAX = 3;
const REFUSALS_MAX = 8;

/**
 * Returns what helps when something between here and the server doesn't let parts pass: smaller
 * ones, tus, or to wait; null if that isn't the trouble.
 *
 * The first two begin a new upload, because one that is cut into parts can't be cut anew, nor go
 * on by another way: what has arrived is lost. As all parts but the last have one size, that is
 * usually nothing. Where more than that has arrived, such parts did pass before, so the obstacle
 * may go as it came (a proxy answers 404 while what is behind it restarts), and they are kept.
 * Only a 413 that stays for minutes ends it nevertheless: sent again it arrives, else it never does.
 */
export function detour(it: Refusal): "smaller" | "tus" | "wait" | null {
  const passing = [401, 407, 408, 425, 429];
  if (it.partBytes > 0 && isCut(it.status))
    return it.accepted === 0 && it.cuts >= CUTS_MAX ? "smaller" : null;
  const isStrange = it.code === "" && ((it.status >= 400 && it.status < 500) || it.status === 501);
  if (!isStrange || passing.includes(it.status)) return null;
  if (it.status === 413 && it.partBytes > 0) {
    return it.accepted <= it.partBytes || it.failures >= REFUSALS_MAX ? "smaller" : "wait";
  }
  return it.accepted === 0 ? "tus" : "wait";
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

/** Requests of which all bytes have left, and whose answer is waited for. */
const ANSWERS_AWAITED = 2;

/**
 * Returns how many requests may be sending at once where so many may be on their way. Parts that
 * share the line all arrive late, the one that a film's beginning waits for among them.
 */
export function sendingAtOnce(onTheirWay: number): number {
  return Math.max(1, onTheirWay - ANSWERS_AWAITED);
}

export const LANES_FIRST = 3;
const ROUND_MS = 2_000;
/** So much more a request more has to bring, and so little one less may cost. */
const GAIN = 1.1;
const LOSS = 0.95;
const CALM_ROUNDS = 3;
/** Where the line is busy with each for so long, what lies between two of them hardly counts. */
const LONG_MS = 1_000;

/**
 * How many requests are on their way at once. What fills the line is enough: more would only make
 * the film's beginning come later, as they share it. One more is tried and kept if that brings
 * something (where the way is long, the line stands idle between two parts), then one less.
 */
export class Lanes {
  count = LANES_FIRST;
  #moved = 0;
  #ended = 0;
  #began = 0;
  #before: { count: number; rate: number } | null = null;
  #calm = CALM_ROUNDS - 1;
  #step: number | null = null;

  constructor(private readonly max: number) {
    this.count = Math.min(LANES_FIRST, max);
  }

  moved(bytes: number): void {
    this.#moved += bytes;
  }

  /** Begins to measure anew: what has changed isn't the number alone. */
  restart(at: number): void {
    this.#moved = 0;
    this.#ended = 0;
    this.#began = at;
  }

  /** A request has failed: perhaps they are too many. */
  failed(at: number): void {
    this.count = Math.max(1, this.count - 1);
    this.#before = null;
    this.#calm = 0;
    this.#step = 1;
    this.restart(at);
  }

  /**
   * A request has ended well. Returns bytes a second where that ends a round, over as many requests
   * as are on their way at once; else null.
   */
  ended(at: number): number | null {
    this.#ended += 1;
    const took = at - this.#began;
    if (this.#ended < this.count || took < ROUND_MS) return null;
    const rate = (this.#moved * 1000) / took;
    this.#step ??= took / this.#ended > LONG_MS ? -1 : 1;
    this.#judge(rate, this.#step);
    this.restart(at);
    return rate;
  }

  #judge(rate: number, step: number): void {
    const { count } = this;
    const before = this.#before ?? { count, rate };
    this.#before = { count, rate };
    if (count === before.count) {
      this.#calm += 1;
      if (this.#calm < CALM_ROUNDS) return;
      this.#calm = 0;
      this.#go(count + step);
      this.#step = -step;
    } else if (rate < before.rate * (count > before.count ? GAIN : LOSS)) {
      this.count = before.count;
      this.#before = before;
    } else this.#go(count + Math.sign(count - before.count));
  }

  #go(count: number): void {
    this.count = Math.min(this.max, Math.max(1, count));
  }
}
