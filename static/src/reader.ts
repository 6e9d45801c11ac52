/**
 * Reads a file from its beginning, piece by piece into one buffer. A fresh buffer for each piece, or
 * a fresh stream, lies in memory until the browser gets round to it: hundreds of MiB for a long file.
 */

export class Reader {
  #buffer: ArrayBuffer;
  #at = 0;
  readonly #stream: ReadableStreamBYOBReader | null;

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
    if (!this.#stream) {
      return new Uint8Array(await this.blob.slice(from, this.#at).arrayBuffer());
    }
    if (this.#buffer.byteLength < wanted) this.#buffer = new ArrayBuffer(wanted);
    let filled = 0;
    while (filled < wanted) {
      // The buffer goes to the stream and comes back in the answer.
      const room = new Uint8Array(this.#buffer, filled, wanted - filled);
      const { value, done } = await this.#stream.read(room);
      if (value) this.#buffer = value.buffer;
      if (done || !value) throw new TypeError("the file is shorter than it was");
      filled += value.byteLength;
    }
    return new Uint8Array(this.#buffer, 0, filled);
  }

  /** Says that nothing more is wanted. */
  close(): void {
    void this.#stream?.cancel().catch(() => undefined);
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
