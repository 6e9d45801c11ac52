/**
 * Carries one file to the server in numbered parts: what work on the film can begin with first,
 * then the rest from its start on, some of them at once.
 *
 * A part counts when it is acknowledged, and isn't sent again. After one has failed, the server is
 * asked what it has before any more are begun: only an answer may have been lost. What is on its
 * way beside it goes on; when nothing is left that does, the queue hears of the trouble.
 */

import * as api from "./api";
import { Problem } from "./api";
import { neededFirst } from "./film";
import { line, type Member } from "./line";
import { inTime } from "./patience";
import { WHOLE_SUM_BYTES_MAX, inOrder, partBytesUpTo, sendingAtOnce, type Range } from "./plan";
import { put, type Put } from "./put";
import { SUM_MS, sumOfPiece } from "./sums";
import type { Ears, Sending } from "./transport";
import { words } from "./words";

/** As `send` of the transport. */
export function sendInParts(sending: Sending, ears: Ears): () => void {
  const carrier = new Carrier(sending, ears);
  void carrier.run();
  return () => carrier.stop();
}

class Carrier implements Member {
  #url: string | null;
  #bytes = 0;
  #first: Range[] = [];
  /** Parts that aren't begun, the next one first. */
  #waiting: number[] = [];
  #going = new Map<number, Put>();
  /** Sums of parts that come next, made while others are on their way. */
  #sums = new Map<number, Promise<string | null>>();
  /** Parts that were acknowledged here. */
  #stored = new Set<number>();
  #accepted = 0;
  /** What went wrong with a part, and of how many bytes it was. */
  #trouble: { problem: Problem; bytes: number } | null = null;
  /** The server is being asked. */
  #asking = false;
  #over = false;

  constructor(
    private readonly sending: Sending,
    private readonly ears: Ears,
  ) {
    this.#url = sending.url;
  }

  async run(): Promise<void> {
    await this.#attempt(async () => {
      this.#first = [[0, 1], ...(await neededFirst(this.sending.file).catch(() => []))];
      if (this.#over) return;
      if (this.#url) await this.#ask();
      else await this.#begin();
      // Which tells it, as everybody else, what its share is.
      if (!this.#over) line.join(this);
    });
  }

  stop(): void {
    if (this.#over) return;
    this.#over = true;
    line.leave(this);
    for (const going of this.#going.values()) going.stop();
  }

  onShare(): void {
    this.#pump();
  }

  async #begin(): Promise<void> {
    const { file, partBytes, about } = this.sending;
    const [index] = this.#first.at(-1) ?? [0];
    const bytes = partBytesUpTo(index, partBytes ?? 0, file.size);
    const begun = await api.beginInParts(file, bytes, about);
    this.#url = api.partsUrl(begun.uploadId);
    if (this.#over) {
      // Nobody knows of it yet, and nobody should find it among the unfinished ones.
      await api.endUpload(this.#url).catch(() => undefined);
      return;
    }
    this.#bytes = begun.chunkSize;
    this.#expect([...Array(begun.totalChunks).keys()], []);
    this.ears.onUrl(this.#url);
    if (begun.videoId) this.ears.onVideo(begun.videoId);
  }

  /** Asks the server what it has, and sends the rest from now on. */
  async #ask(): Promise<void> {
    const url = this.#url ?? "";
    const status = await api.uploadStatus(url);
    if (this.#over) return;
    // A finished upload has no parts to send, and is only to be completed once more.
    this.#bytes = status.chunkSize ?? this.#bytes;
    this.#expect(status.missingChunks, status.wanted);
    this.ears.onUrl(url);
    if (status.videoId) this.ears.onVideo(status.videoId);
  }

  #expect(missing: readonly number[], wanted: readonly Range[]): void {
    // The answer may be older than what was acknowledged meanwhile.
    const left = missing.filter((index) => !this.#stored.has(index));
    this.#accepted = this.sending.file.size - left.reduce((sum, it) => sum + this.#sizeOf(it), 0);
    const idle = left.filter((index) => !this.#going.has(index));
    this.#waiting = inOrder(idle, [...this.#first, ...wanted], this.#bytes);
    this.ears.onAccepted(this.#accepted);
    this.#tellSent();
  }

  #sizeOf(index: number): number {
    return Math.min(this.#bytes, this.sending.file.size - index * this.#bytes);
  }

  /** How many parts have bytes that are leaving. */
  get #sending(): number {
    const isSending = ([index, part]: [number, Put]) =>
      part.sent < this.#sizeOf(index) && !part.isQuiet;
    return [...this.#going].filter(isSending).length;
  }

  #tellSent(): void {
    let sent = this.#accepted;
    for (const going of this.#going.values()) sent += going.sent;
    this.ears.onSent(sent);
  }

  /** Begins as many parts as may be on their way, or ends it when none is left. */
  #pump(): void {
    if (this.#over || this.#trouble || this.#asking) return;
    const most = line.shareOf(this);
    while (this.#going.size < most && this.#sending < sendingAtOnce(most)) {
      const index = this.#waiting.shift();
      if (index === undefined) break;
      void this.#carry(index);
    }
    const [next] = this.#waiting;
    if (next !== undefined) this.#sumOf(next);
    if (this.#going.size === 0) void this.#attempt(() => this.#complete());
  }

  #part(index: number): Blob {
    const start = index * this.#bytes;
    return this.sending.file.slice(start, start + this.#sizeOf(index));
  }

  #sumOf(index: number): Promise<string | null> {
    const sum = this.#sums.get(index) ?? sumOfPiece(this.#part(index));
    this.#sums.set(index, sum);
    return sum;
  }

  async #carry(index: number): Promise<void> {
    const bytes = this.#sizeOf(index);
    const going = put(
      `${this.#url}/parts/${index}`,
      this.#part(index),
      this.#sumOf(index),
      (moved) => {
        if (this.#over) return;
        line.moved(moved);
        this.#tellSent();
        if (going.sent >= bytes || moved === 0) this.#pump();
      },
    );
    this.#going.set(index, going);
    let problem: Problem | null = null;
    try {
      // What answers everything with a page of its own hasn't kept anything.
      if (!api.isPartStored(await going.answer, index)) problem = noServer();
    } catch (refused) {
      problem = refused as Problem;
    }
    if (this.#over) return;
    this.#going.delete(index);
    this.#sums.delete(index);
    if (problem) this.#failed(index, bytes, problem);
    else {
      this.#stored.add(index);
      this.#accepted += bytes;
      line.acknowledged();
      this.ears.onAccepted(this.#accepted);
      if (this.#trouble) await this.#forgive(this.#trouble.problem);
    }
    this.#tellSent();
    this.#settle();
  }

  /** A part got through after another had failed: the line works, with fewer at once. */
  async #forgive(problem: Problem): Promise<void> {
    const isPassing = problem.status === 0 || problem.retryable;
    if (!isPassing || problem.retryAfterMs !== null || this.#asking) return;
    this.#asking = true;
    try {
      await this.#ask();
      this.#trouble = null;
      line.failed();
    } catch (refused) {
      if (!(refused instanceof Problem)) throw refused;
      // What is on its way may still arrive; then the queue hears of it.
    }
    this.#asking = false;
  }

  #failed(index: number, bytes: number, problem: Problem): void {
    if (problem.code === "upload-taken-over" && this.#waiting.length > 0) {
      // Another tab brings this very part; there are others to be sent meanwhile.
      this.#waiting.push(index);
      return;
    }
    this.#waiting.unshift(index);
    // Of a file that isn't taken, the other parts only learn that their upload is gone.
    if (!this.#trouble || problem.code === "unsupported-media") this.#trouble = { problem, bytes };
  }

  /** Goes on, or ends it once nothing is on its way any more. */
  #settle(): void {
    if (this.#over || this.#asking) return;
    if (!this.#trouble) this.#pump();
    else if (this.#going.size === 0) this.#end(this.#trouble.problem, this.#trouble.bytes);
  }

  async #complete(): Promise<void> {
    this.#asking = true;
    try {
      const { file, sum } = this.sending;
      // The server reads all of a file again to compare it; of a large one the parts have to do.
      const whole = file.size <= WHOLE_SUM_BYTES_MAX ? await inTime(sum, SUM_MS) : null;
      if (this.#over) return;
      await api.completeUpload(this.#url ?? "", whole);
      if (this.#over) return;
      this.stop();
      this.ears.onDone();
    } catch (problem) {
      if (this.#over) return;
      if (!(problem instanceof Problem && problem.code === "parts-missing")) throw problem;
      this.#stored.clear();
      await this.#ask();
      // Once more without progress is to be waited with, not asked about in a circle.
      if (this.#waiting.length === 0) throw problem;
      this.#asking = false;
      this.#pump();
    }
  }

  /** Does something that asks the server; what goes wrong ends the sending. */
  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.#end(problem, 0);
    }
  }

  #end(problem: Problem, bytes: number): void {
    if (this.#over) return;
    this.stop();
    this.ears.onProblem(problem, bytes);
  }
}

function noServer(): Problem {
  return new Problem(0, words.problem.offline, words.problem.offlineDetail);
}
