/** What this browser remembers of watching: where each film was left, and what is liked. */

const PLACES = "slipway-places";
const LIKINGS = "slipway-player";
/** Films whose place is remembered; the oldest is forgotten first. */
const PLACES_MAX = 200;
/** Who has seen less than this hasn't begun. */
const BEGUN_SECONDS = 5;
/** Who has only this left, or a twentieth of a short film, has seen it. */
const LEFT_SECONDS = 15;

/** What somebody has chosen once and wants everywhere. */
export interface Likings {
  /** The language of captions; empty for none. */
  captions?: string;
  volume?: number;
  muted?: boolean;
}

type Place = [seconds: number, at: number];

function read<T>(key: string): Record<string, T> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? "{}");
    return found && typeof found === "object" ? (found as Record<string, T>) : {};
  } catch {
    // A frame of another site may have no memory.
    return {};
  }
}

function write(key: string, value: object): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full or forbidden: it is a comfort.
  }
}

/** Returns where a film was left, in seconds; 0 at its beginning. */
export function placeOf(id: string): number {
  const seconds = read<Place>(PLACES)[id]?.[0];
  return typeof seconds === "number" && seconds > 0 ? seconds : 0;
}

/** Remembers where a film is; one that has hardly begun, or is nearly over, begins anew. */
export function keepPlace(id: string, seconds: number, length: number): void {
  const isOver = length - seconds < Math.min(LEFT_SECONDS, length / 20);
  if (seconds < BEGUN_SECONDS || isOver) {
    if (isOver || placeOf(id) > 0) forgetPlace(id);
    return;
  }
  const places = { ...read<Place>(PLACES), [id]: [seconds, Date.now()] as Place };
  const newest = Object.entries(places).sort(([, [, a]], [, [, b]]) => b - a);
  write(PLACES, Object.fromEntries(newest.slice(0, PLACES_MAX)));
}

export function forgetPlace(id: string): void {
  const { [id]: _, ...others } = read<Place>(PLACES);
  write(PLACES, others);
}

export const likings = (): Likings => read(LIKINGS) as Likings;

export function like(more: Likings): void {
  write(LIKINGS, { ...likings(), ...more });
}

/** Reads a moment as an address tells it: `90`, `1:30`, `1h2m3s`. */
export function secondsOf(said: string | null | undefined): number | null {
  const text = said?.trim() ?? "";
  if (/^\d+(\.\d+)?s?$/.test(text)) return Number.parseFloat(text);
  if (/^\d+(:[0-5]?\d){1,2}(\.\d+)?$/.test(text)) {
    return text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  }
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (!text || !parts) return null;
  const [h = 0, m = 0, s = 0] = parts.slice(1).map((part) => Number(part ?? 0));
  return h * 3600 + m * 60 + s;
}
