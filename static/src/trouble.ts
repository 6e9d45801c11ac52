/** What went wrong, and whether waiting helps. */

import { Problem } from "./api";
import type { Said } from "./item";
import { words } from "./words";

/** Says whether waiting can help: no answer, a server in trouble, or one asking for a pause. */
export function isPassing(problem: Problem): boolean {
  // Bytes that were damaged on their way, or in memory, are sent again.
  if (problem.retryable || problem.code === "checksum-mismatch") return true;
  return problem.status === 0 || [408, 409, 423, 425, 429].includes(problem.status);
}

/** Returns what is said of a problem. */
export function sayable(problem: unknown): Said {
  return problem instanceof Problem
    ? { title: problem.title, detail: problem.detail }
    : { title: words.problem.unknown, detail: "" };
}

/** Returns what is said of a problem, as one text. */
export function told(problem: unknown): string {
  const { title, detail } = sayable(problem);
  return words.sentences(title, detail);
}

/** Says whether a file's bytes at `at` are still there. */
export async function canRead(file: File, at: number): Promise<boolean> {
  try {
    await file.slice(Math.max(0, at - 1), at + 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
