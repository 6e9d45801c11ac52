/**
 * What this browser knows of the line to the server, and how it is shared among the files that are
 * on their way. There is one for the page; what it has learnt survives a reload.
 */

import { isOurs } from "./door";
import { Lanes, smallerBody } from "./plan";

/** A file on its way. It is told when it may have another number of requests on theirs. */
export interface Member {
  onShare(): void;
}

const KEY = "slipway.line";
/** People move, and lines change. */
const KEEP_MS = 7 * 24 * 3600 * 1000;
/** Requests on their way at once. */
const LANES_MAX = 6;
/**
 * Over HTTP/1.1 a browser has six connections to a host: one is the stream of events, and a
 * question mustn't have to wait until some part has been sent.
 */
const LANES_MAX_HTTP1 = 4;

/** A line that carries a request in so many seconds is well again. */
const WELL_SECONDS = 5;

interface Known {
  bytesPerSecond: number;
  at: number;
  bodyMax?: number;
  bodyMaxAt?: number;
}

class Line {
  #members: Member[] = [];
  #lanes = new Lanes(isMultiplexed() ? LANES_MAX : LANES_MAX_HTTP1);
  #known: Known = recall(Date.now());
  /** What was too much for the line as it was, which isn't for long. */
  #cutMax = Number.POSITIVE_INFINITY;

  /** Bytes a second over all files together, or 0 if nothing is known. */
  get bytesPerSecond(): number {
    return this.#known.bytesPerSecond;
  }

  /** Requests on their way at once, over all files together. */
  get atOnce(): number {
    return this.#lanes.count;
  }

  /** What one request may carry; without end if nobody has minded yet. */
  get bodyBytesMax(): number {
    return Math.min(this.#known.bodyMax ?? Number.POSITIVE_INFINITY, this.#cutMax);
  }

  /** Something in between doesn't let numbered parts pass: not to be tried with each file. */
  isClosedToParts = false;

  join(member: Member): void {
    this.#members.push(member);
    this.#changed();
  }

  leave(member: Member): void {
    const at = this.#members.indexOf(member);
    if (at < 0) return;
    this.#members.splice(at, 1);
    this.#changed();
  }

  /** Returns how many requests a file may have on their way: one at least, the first file more. */
  shareOf(member: Member): number {
    const { length } = this.#members;
    const at = this.#members.indexOf(member);
    const spare = Math.max(0, this.#lanes.count - length);
    return 1 + Math.floor(spare / length) + (at < spare % length ? 1 : 0);
  }

  moved(bytes: number): void {
    this.#lanes.moved(bytes);
  }

  acknowledged(): void {
    const before = this.#lanes.count;
    const rate = this.#lanes.ended(performance.now());
    if (rate === null) return;
    this.#known.bytesPerSecond = rate;
    this.#known.at = Date.now();
    if (rate * WELL_SECONDS > this.#cutMax) this.#cutMax = Number.POSITIVE_INFINITY;
    this.#keep();
    if (this.#lanes.count !== before) this.#tell();
  }

  failed(): void {
    this.#lanes.failed(performance.now());
  }

  /** A request of so many bytes didn't get through: for good, or for what the line is now. */
  refused(bytes: number, forGood: boolean): void {
    const max = smallerBody(bytes);
    if (!forGood) {
      this.#cutMax = Math.min(this.#cutMax, max);
      return;
    }
    this.#known.bodyMax = Math.min(this.#known.bodyMax ?? max, max);
    this.#known.bodyMaxAt = Date.now();
    this.#keep();
  }

  #changed(): void {
    this.#lanes.restart(performance.now());
    this.#tell();
  }

  #tell(): void {
    for (const member of [...this.#members]) member.onShare();
  }

  #keep(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#known));
    } catch {
      // Full or forbidden: the next page learns it anew.
    }
  }
}

function recall(now: number): Known {
  const known: Known = { bytesPerSecond: 0, at: now };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Known>;
    if (now - (kept.at ?? 0) < KEEP_MS && Number(kept.bytesPerSecond) > 0) {
      known.bytesPerSecond = Number(kept.bytesPerSecond);
    }
    if (now - (kept.bodyMaxAt ?? 0) < KEEP_MS && Number(kept.bodyMax) > 0) {
      known.bodyMax = Number(kept.bodyMax);
      known.bodyMaxAt = Number(kept.bodyMaxAt);
    }
  } catch {
    // Forbidden or damaged: nothing is known then.
  }
  return known;
}

/** Says whether one connection carries many requests, which only TLS brings. */
function isMultiplexed(): boolean {
  // Of another site's server it isn't told.
  if (!isOurs) return false;
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return ["h2", "h3"].includes(page?.nextHopProtocol ?? "");
}

export const line = new Line();
