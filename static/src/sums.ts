/**
 * SHA-256 of what is sent, made in workers so that the page stays quick: of each piece, before it
 * leaves, and of whole files while they leave. Where there are no workers (another site's policy
 * may forbid them) there are no sums, and the upload does without.
 */

import source from "worker:./sums.worker";

export type Asked =
  | { kind: "piece"; id: number; blob: Blob }
  | { kind: "whole"; id: number; blob: Blob }
  | { kind: "moved"; id: number; upTo: number }
  | { kind: "stop"; id: number };
export interface Told {
  id: number;
  sum: string | null;
}

/** A piece takes a second or two; a worker that is silent for so long won't answer any more. */
export const SUM_MS = 60_000;

/** One worker, and who waits for what of it. */
class Desk {
  #worker: Worker | null = null;
  #waiting = new Map<number, (sum: string | null) => void>();
  #nextId = 1;
  #isBroken = false;

  ask(kind: "piece" | "whole", blob: Blob): { id: number; sum: Promise<string | null> } {
    const id = this.#nextId++;
    const worker = this.#open();
    if (!worker) return { id, sum: Promise.resolve(null) };
    const sum = new Promise<string | null>((resolve) => this.#waiting.set(id, resolve));
    this.#tell({ kind, id, blob });
    // A whole file's sum comes when the file has left, which may be tomorrow.
    if (kind === "piece") window.setTimeout(() => this.#waiting.has(id) && this.#break(), SUM_MS);
    return { id, sum };
  }

  moved(id: number, upTo: number): void {
    if (this.#waiting.has(id)) this.#tell({ kind: "moved", id, upTo });
  }

  stop(id: number): void {
    if (this.#waiting.has(id)) this.#tell({ kind: "stop", id });
  }

  #tell(asked: Asked): void {
    this.#worker?.postMessage(asked);
  }

  #open(): Worker | null {
    if (this.#worker || this.#isBroken) return this.#worker;
    try {
      // As a blob it runs on any site's page; a file of another origin would not.
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      this.#worker = new Worker(url);
      this.#worker.onmessage = ({ data }: MessageEvent<Told>) => {
        this.#waiting.get(data.id)?.(data.sum);
        this.#waiting.delete(data.id);
      };
      this.#worker.onerror = () => this.#break();
    } catch {
      this.#break();
    }
    return this.#worker;
  }

  #break(): void {
    this.#isBroken = true;
    this.#worker?.terminate();
    this.#worker = null;
    for (const resolve of this.#waiting.values()) resolve(null);
    this.#waiting.clear();
  }
}

// Two, for what the line waits for mustn't stand behind a long file.
const pieces = new Desk();
const wholes = new Desk();

/** Returns a piece's sum in hex; null if there is none to be had. */
export function sumOfPiece(blob: Blob): Promise<string | null> {
  return pieces.ask("piece", blob).sum;
}

/** A whole file's sum on its way. */
export interface Summing {
  readonly sum: Promise<string | null>;
  /** So many bytes of the file have left, and may be summed up. */
  moved(upTo: number): void;
  stop(): void;
}

export function sumAlong(file: File): Summing {
  const { id, sum } = wholes.ask("whole", file);
  return { sum, moved: (upTo) => wholes.moved(id, upTo), stop: () => wholes.stop(id) };
}
