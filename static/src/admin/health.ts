/**
 * Whether all is well: what is known of the server is judged here, each finding with what to do.
 * Pure, so that one page of it says what an operator is woken for.
 */

import { words } from "../words";
import * as units from "../units";
import type { Audit, Status, Webhook } from "./api";

const w = words.admin.health;

/** What is known so far; what isn't yet is no reason to worry anybody. */
export interface Facts {
  /** The server answers. */
  answers: boolean;
  status: Status | null;
  audit: Audit | null;
  webhooks: Webhook[];
}

/** `bad`: people notice already. `warn`: they will, or somebody wants to know. */
export interface Finding {
  level: "bad" | "warn";
  title: string;
  remedy: string;
  /** The section that tells more. */
  where: string | null;
}

/** A film waits longer than this only where nobody works. */
const IDLE_SECONDS = 120;

/** Every layer there is, in the order in which they are explained. */
export const LAYERS = ["landlock", "seccomp", "nonewprivs", "rlimits"];

/** Returns which layers confine the children. */
export function layersOn(status: Status): Set<string> {
  return new Set(
    status.sandbox.layers.map((layer) => layer.toLowerCase().replaceAll(/[_-]/g, "")),
  );
}

/** Returns what isn't well, the worst first. */
export function judge({ answers, status, audit, webhooks }: Facts): Finding[] {
  if (!answers) return [finding("bad", w.down, null)];
  if (!status) return [];
  const found = status.warnings.map((warning) => {
    const { level, words: said, where } = known[warning.code] ?? {};
    const told = said ?? { title: warning.detail, remedy: w.log };
    const detail = warning.code === "workers-unavailable" && warning.detail;
    const remedy = words.sentences(detail, told.remedy);
    return { level: level ?? "warn", ...told, remedy, where: where ?? null };
  });
  const { queue, sandbox } = status;
  const waits = queue.queued > 0 && (queue.oldestQueuedSeconds ?? 0) > IDLE_SECONDS;
  if (waits && queue.running === 0 && !queue.paused && found.length === 0) {
    found.push(finding("bad", w.idle(units.span(queue.oldestQueuedSeconds ?? 0)), "line"));
  }
  const broken = webhooks.filter((target) => target.disabled || target.failures > 0);
  if (audit && audit.missingOriginals.count > 0) {
    found.push(finding("bad", w.originals(audit.missingOriginals.count), "disk"));
  }
  if (audit && audit.missingMedia.count > 0) {
    found.push(finding("bad", w.media(audit.missingMedia.count), "disk"));
  }
  if (queue.failed > 0) found.push(finding("warn", w.failed(queue.failed), "failures"));
  for (const target of broken) found.push(finding("warn", w.webhook(target.url), "webhooks"));
  // Not known in the first moments of a server, or where no worker can be started at all.
  const isWeak = LAYERS.some((layer) => !layersOn(status).has(layer));
  if (sandbox.layers.length > 0 && isWeak) found.push(finding("warn", w.sandbox, "about"));
  return found.sort((one, other) => rank(one) - rank(other));
}

const rank = (one: Finding) => (one.level === "bad" ? 0 : 1);

const finding = (
  level: Finding["level"],
  said: { title: string; remedy: string },
  where: string | null,
): Finding => ({ level, ...said, where });

/** What the server itself warns of. */
const known: Record<
  string,
  { level: Finding["level"]; words: { title: string; remedy: string }; where: string } | undefined
> = {
  "out-of-space": { level: "bad", words: w.full, where: "disk" },
  "low-space": { level: "warn", words: w.low, where: "disk" },
  "queue-paused": { level: "warn", words: w.paused, where: "line" },
  "no-room-for-work": { level: "bad", words: w.noRoom, where: "disk" },
  "workers-unavailable": { level: "bad", words: w.workers, where: "about" },
};
