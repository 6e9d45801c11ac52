/** Quantities in the reader's language: sizes, rates, lengths of time, dates. */

import { isRightToLeft, language, words } from "./words";

/** Keeps a number and its unit in their order where the words around go the other way. */
const together = (quantity: string) => (isRightToLeft ? `\u2066${quantity}\u2069` : quantity);

const sizeUnits = ["B", "KB", "MB", "GB", "TB"] as const;

/** Returns bytes as people say them: `812 B`, `4.2 MB`, `1.1 TB`. Decimal, as disks are sold. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < sizeUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return together(`${number(value, digits)} ${sizeUnits[unit] ?? "B"}`);
}

/** Returns bytes a second in words. */
export function rate(bytesPerSecond: number): string {
  return together(`${size(bytesPerSecond)}/s`);
}

/** Returns bits a second in words: `5.8 Mbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6
    ? together(`${number(bitsPerSecond / 1e6, 1)} Mbit/s`)
    : together(`${number(bitsPerSecond / 1e3, 0)} kbit/s`);
}

/** Returns what is known of a thing, in one line; what isn't is left out. */
export function facts(...known: (string | number | null | undefined | false)[]): string {
  return known.filter((one) => one || one === 0).join(" · ");
}

/** Returns names one after the other, as the language lists them. */
export function list(names: readonly string[]): string {
  return new Intl.ListFormat(language, { type: "unit", style: "short" }).format(names);
}

/** Returns the length of a video as a clock shows it: `0:07`, `12:30`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  const s = String(whole % 60).padStart(2, "0");
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** Returns a rough span for waiting: `a few seconds`, `40 sec`, `3 min`, `2 hr 10 min`, `4 days`. */
export function span(seconds: number): string {
  if (seconds < 5) return words.moments;
  if (seconds < 60) return unit(Math.round(seconds / 5) * 5, "second");
  if (seconds < 3600) return unit(Math.round(seconds / 60), "minute");
  if (seconds < 48 * 3600) {
    const h = Math.floor(seconds / 3600);
    const m = Math.round((seconds % 3600) / 60);
    return m > 0 && h < 10 ? `${unit(h, "hour")} ${unit(m, "minute")}` : unit(h, "hour");
  }
  return unit(Math.round(seconds / 86400), "day", "long");
}

/** Returns a number with so many digits behind the point, as the language writes it. */
export function number(value: number, digits: number): string {
  const form = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString(language, form);
}

function unit(
  value: number,
  name: "second" | "minute" | "hour" | "day",
  unitDisplay: "short" | "long" = "short",
): string {
  return value.toLocaleString(language, { style: "unit", unit: name, unitDisplay });
}

/** Returns a share (0..1) as whole percent, never 100 before the end. */
export function percent(share: number): number {
  if (!Number.isFinite(share)) return 0;
  return share >= 1 ? 100 : Math.min(99, Math.max(0, Math.floor(share * 100)));
}

/** Returns a share (0..1) in words: `42%`, never 100 before the end. */
export function share(of: number): string {
  return (percent(of) / 100).toLocaleString(language, { style: "percent" });
}

/** Returns a wait that is watched: to the second in its last minute. */
export function countdown(seconds: number): string {
  return seconds < 60 ? unit(seconds, "second") : span(seconds);
}

/** Returns how long ago a moment was, or how soon it is: `3 minutes ago`, `in 2 days`. */
export function ago(rfc3339: string, now = Date.now()): string {
  const seconds = (Date.parse(rfc3339) - now) / 1000;
  if (Number.isNaN(seconds)) return "";
  const form = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const size = Math.abs(seconds);
  if (size < 60) return form.format(Math.round(seconds / 5) * 5 || 0, "second");
  if (size < 3600) return form.format(Math.round(seconds / 60), "minute");
  if (size < 48 * 3600) return form.format(Math.round(seconds / 3600), "hour");
  return form.format(Math.round(seconds / 86_400), "day");
}

/** Returns a moment to the second, as the reader's clock and calendar write it. */
export function moment(rfc3339: string): string {
  return new Date(rfc3339).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium" });
}

/** Returns the time of day: `14:30`. */
export function timeOfDay(at: Date): string {
  return at.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
}

/** Returns a moment as the reader's calendar writes it. */
export function day(rfc3339: string): string {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return "";
  const sameYear = at.getFullYear() === new Date().getFullYear();
  return at.toLocaleDateString(language, {
    day: "numeric",
    month: "short",
    ...(sameYear ? {} : { year: "numeric" as const }),
  });
}
