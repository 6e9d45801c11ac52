/**
 * Which bytes of a film come first, so that it plays while the rest is being sent.
 *
 * An MP4's index (`moov`) stands before the pictures and sound or, as cameras and phones write it,
 * behind them. The server finds it too and says so (`wanted` of an upload's status), but not before
 * the head has arrived and it is asked again; here a few reads of sixteen bytes tell it before the
 * first byte is sent, so that head and index go together. The rules are those of the server, and of
 * what they find differently nothing but time is lost (ISO/IEC 14496-12, 4.2).
 */

import type { Range } from "./plan";

/** The boxes that an MP4 can begin with. */
const FIRST = ["ftyp", "moov", "mdat", "free", "skip", "wide"];
const BOXES_MAX = 64;
const INDEX_BYTES_MAX = 256 * 1024 * 1024;
const HEAD_BYTES = 16;

/**
 * Returns the heads of the outermost boxes up to the index, and the index as a whole; nothing for
 * files that have none. Rejects if the file can't be read.
 */
export async function neededFirst(file: Blob): Promise<Range[]> {
  const needed: Range[] = [];
  let at = 0;
  for (let number = 0; number < BOXES_MAX && at + HEAD_BYTES <= file.size; number += 1) {
    const head = new DataView(await file.slice(at, at + HEAD_BYTES).arrayBuffer());
    const name = String.fromCharCode(...new Uint8Array(head.buffer, 4, 4));
    const short = head.getUint32(0);
    const own = short === 1 ? 16 : 8;
    const bytes = short === 0 ? file.size - at : short === 1 ? Number(head.getBigUint64(8)) : short;
    if ((number === 0 && !FIRST.includes(name)) || bytes < own || name === "moof") return [];
    if (name === "moov") {
      const isSane = bytes <= INDEX_BYTES_MAX && at + bytes <= file.size;
      return isSane ? [...needed, [at, at + bytes]] : [];
    }
    needed.push([at, at + HEAD_BYTES]);
    at += bytes;
  }
  return [];
}
