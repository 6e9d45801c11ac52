/**
 * Reads a file from its beginning, piece by piece into one buffer. A fresh buffer for each piece, or
 * a fresh stream, lies in memory until the browser gets round to it: hundreds of MiB for a long file.
 */

import { inTime } from "./patience";

/**
 * Of some thousand streams Chromium (seen with 156) forgets one in the middle of a read, which then
 * never ends. Bytes that are there come in a moment, so one that is silent for so long is opened anew.
 */
const SILENT_MS = 3_000;
/** Where even these are silent it is the disk, and is waited for. */
const STREAMS_MAX = 3;

export class Reader {
  #buffer: ArrayBuffer;
  #at = 0;
  #stream: ReadableStreamBYOBReader | null;

  /** `buffer` is one that a reader before has left. */
  constructor(
    private readonly blob: Blob,
    buffer = new ArrayBuffer(0),
  ) {
    this.#buffer = buffer;
    this.#stream = bytesOf(blob);
  }

  /** The buffer for another reader; what was read into it is no longer good then. */
  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  /** Returns the next bytes, which are good until those behind them. Rejects if they can't be read. */
  async next(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const from = this.#at;
    this.#at = Math.min(from + count, this.blob.size);
    const wanted = this.#at - from;
    for (let tries = 0; this.#stream && tries < STREAMS_MAX; tries += 1) {
      if (await this.#fill(this.#stream, wanted)) return new Uint8Array(this.#buffer, 0, wanted);
      // The buffer is with the stream that is silent.
      this.#buffer = new ArrayBuffer(0);
      this.#open(from);
    }
    const bytes = await this.blob.slice(from, this.#at).arrayBuffer();
    if (this.#stream) this.#open(this.#at);
    return new Uint8Array(bytes);
  }

  /** Says that nothing more is wanted. */
  close(): void {
    void this.#stream?.cancel().catch(() => undefined);
  }

  #open(from: number): void {
    this.close();
    this.#stream = bytesOf(this.blob.slice(from));
  }

  /** Fills the buffer's first bytes; false if the stream is silent. */
  async #fill(stream: ReadableStreamBYOBReader, wanted: number): Promise<boolean> {
    if (this.#buffer.byteLength < wanted) this.#buffer = new ArrayBuffer(wanted);
    let filled = 0;
    while (filled < wanted) {
      // The buffer goes to the stream and comes back in the answer.
      const room = new Uint8Array(this.#buffer, filled, wanted - filled);
      const got = await inTime(stream.read(room), SILENT_MS);
      if (!got) return false;
      if (got.value) this.#buffer = got.value.buffer;
      if (got.done || !got.value) throw new TypeError("the file is shorter than it was");
      filled += got.value.byteLength;
    }
    return true;
  }
}

/** Returns what fills a buffer with a blob's bytes; null where the browser can't. */
function bytesOf(blob: Blob): ReadableStreamBYOBReader | null {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
