/**
 * SHA-256 (FIPS 180-4) of what comes in pieces. Not SubtleCrypto: a server without TLS on the local
 * network has none, and it would want the whole file in memory.
 */

import { Reader } from "./reader";

const BLOCK_BYTES = 64;
/** Read at once; whole blocks. */
export const PIECE_BYTES = 1024 * 1024;

/** Returns the sum of a file's piece in hex. Rejects if the file can't be read. */
export async function sha256(blob: Blob): Promise<string> {
  const [sum, reader] = [new Sha256(), new Reader(blob)];
  try {
    for (let at = 0; at < blob.size; at += PIECE_BYTES) sum.add(await reader.next(PIECE_BYTES));
    return sum.end();
  } finally {
    reader.close();
  }
}

/** A sum that grows. */
export class Sha256 {
  #state = new Int32Array(INITIAL);
  #words = new Int32Array(64);
  #length = 0;
  /** What is left behind the last whole block. */
  #rest = new Uint8Array(0);

  /** Adds bytes; whole blocks, but for the last time. */
  add(bytes: Uint8Array): void {
    const whole = bytes.byteLength - (bytes.byteLength % BLOCK_BYTES);
    this.#mixAll(new DataView(bytes.buffer, bytes.byteOffset, whole));
    this.#length += bytes.byteLength;
    this.#rest = bytes.slice(whole);
  }

  /** Returns the sum in hex. */
  end(): string {
    const end = padding(this.#length);
    const last = new Uint8Array(this.#rest.length + end.length);
    last.set(this.#rest);
    last.set(end, this.#rest.length);
    this.#mixAll(new DataView(last.buffer));
    return [...this.#state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #mixAll(view: DataView): void {
    for (let at = 0; at < view.byteLength; at += BLOCK_BYTES) {
      mix(this.#state, this.#words, view, at);
    }
  }
}

/** Returns what stands behind the last byte: a one, zeros, and the number of bits. */
function padding(length: number): Uint8Array {
  const filled = new Uint8Array(((119 - (length % 64)) % 64) + 9);
  const view = new DataView(filled.buffer);
  filled[0] = 0x80;
  view.setUint32(filled.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(filled.length - 4, (length * 8) >>> 0);
  return filled;
}

/** The first 32 bits behind the point of the square or cube roots of the first primes. */
function roots(count: number, power: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n += 1) {
    let prime = true;
    for (let by = 2; by * by <= n; by += 1) prime &&= n % by !== 0;
    const root = n ** power;
    if (prime) found.push(((root - Math.floor(root)) * 2 ** 32) | 0);
  }
  return found;
}

const INITIAL = roots(8, 1 / 2);
const ROUND = new Int32Array(roots(64, 1 / 3));

function turn(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

function mix(state: Int32Array, w: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15] as number;
    const y = w[i - 2] as number;
    const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
    const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
    w[i] = (w[i - 16] as number) + s0 + (w[i - 7] as number) + s1;
  }
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  let e = state[4] as number;
  let f = state[5] as number;
  let g = state[6] as number;
  let h = state[7] as number;
  for (let i = 0; i < 64; i += 1) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] as number) + (w[i] as number)) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] = (state[i] as number) + word;
  });
}
