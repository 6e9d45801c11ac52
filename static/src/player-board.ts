/** The storyboard: which piece of which sheet shows a moment of the film. */

export interface Still {
  start: number;
  end: number;
  sheet: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

const moment = (said: string) =>
  said.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);

/** Reads the WebVTT whose cues name pieces of sheets (`storyboard-1.jpg#xywh=160,90,160,90`). */
export function parseBoard(vtt: string, base: string): Still[] {
  const stills: Still[] = [];
  for (const block of vtt.split(/\r?\n\r?\n/)) {
    const said = /([\d:.]+)\s+-->\s+([\d:.]+)[^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/.exec(block);
    if (!said) continue;
    const [, start = "", end = "", sheet = "", ...piece] = said;
    const [x = 0, y = 0, width = 0, height = 0] = piece.map(Number);
    const at = new URL(sheet, base).href;
    stills.push({ start: moment(start), end: moment(end), sheet: at, x, y, width, height });
  }
  return stills;
}

/** Returns the still for a moment; the nearest before it where there is a gap. */
export function stillAt(stills: readonly Still[], seconds: number): Still | null {
  let low = 0;
  let high = stills.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((stills[middle]?.start ?? 0) <= seconds) low = middle + 1;
    else high = middle;
  }
  return stills[Math.max(0, low - 1)] ?? null;
}

/** A film's storyboard, fetched when somebody first wants to see it. */
export class Board {
  #url: string | null = null;
  #stills: Still[] = [];
  #asked = false;

  /** Says where it is, once there is one. */
  set url(url: string | null) {
    if (url === this.#url) return;
    this.#url = url;
    this.#stills = [];
    this.#asked = false;
  }

  at(seconds: number): Still | null {
    return stillAt(this.#stills, seconds);
  }

  /** Fetches it, if that hasn't been done. */
  async fetch(headers: Record<string, string>): Promise<void> {
    const url = this.#url;
    if (!url || this.#asked) return;
    this.#asked = true;
    try {
      const answer = await fetch(url, { headers });
      if (!answer.ok) throw new Error(String(answer.status));
      const stills = parseBoard(await answer.text(), answer.url);
      if (url === this.#url) this.#stills = stills;
    } catch {
      // The bar works without pictures; who looks again asks again.
      if (url === this.#url) this.#asked = false;
    }
  }
}
