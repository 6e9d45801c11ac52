/** Which priorities put a waiting video where somebody wants it. Pure. */

/** The bounds that the server has. */
const LOWEST = -100;
const HIGHEST = 100;

/** A video in line. */
export interface Place {
  videoId: string;
  priority: number;
}

/**
 * Returns what to change so that the video at `from` stands at `to`, in the order in which to do
 * it. The line is shown with the next one first, and a higher priority goes first; among equals the
 * server has an order of its own, so whoever has to stay in front of the moved one gets a higher
 * priority where they were its equals.
 */
export function moves(line: readonly Place[], from: number, to: number): Place[] {
  const moved = line[from];
  if (!moved || from === to || to < 0 || to >= line.length) return [];
  const rest = line.filter((_, index) => index !== from);
  const above = rest.slice(0, to);
  const below = rest[to];
  const last = above[above.length - 1];
  // Behind everybody that is shown: lower than the last of them.
  const bare = below ? below.priority + 1 : (last?.priority ?? 0) - 1;
  const priority = clamp(bare);
  const raised = above
    .filter((one) => one.priority <= priority)
    .map((one) => ({ ...one, priority: clamp(priority + 1) }));
  const all = [...(below ? raised : []), { ...moved, priority }];
  const before = new Map(line.map((one) => [one.videoId, one.priority]));
  return all.filter((one) => before.get(one.videoId) !== one.priority);
}

function clamp(priority: number): number {
  return Math.min(HIGHEST, Math.max(LOWEST, priority));
}
