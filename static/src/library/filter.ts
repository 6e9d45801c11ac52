/** Which videos are shown and in which order; the page's address keeps it. Pure. */

import type { Video, VideoState } from "../api";

export const STATES: VideoState[] = ["uploading", "queued", "processing", "ready", "failed"];

/** What can be asked for, by the names that the API has. */
export interface Filter {
  q: string;
  state: string;
  tag: string;
  sessionId: string;
  owner: string;
  sort: string;
}

export type Name = keyof Filter;
export const NEWEST = "-createdAt";
export const OLDEST = "createdAt";
/** The orders that are offered, by the API's words. */
export const SORTS = [NEWEST, OLDEST, "title", "-duration", "-size"];
const NONE: Filter = { q: "", state: "", tag: "", sessionId: "", owner: "", sort: NEWEST };
const NAMES = Object.keys(NONE) as Name[];

/** Returns the filter that shows everything. */
export const everything = (): Filter => ({ ...NONE });

/** Reads an address; what it doesn't know counts for nothing. */
export function filterOf(search: string): Filter {
  const query = new URLSearchParams(search);
  const filter = everything();
  for (const name of NAMES) filter[name] = query.get(name)?.trim() || NONE[name];
  if (!STATES.some((state) => state === filter.state)) filter.state = "";
  if (!SORTS.includes(filter.sort)) filter.sort = NEWEST;
  return filter;
}

/** Returns what is asked of the server, or kept in the address. */
export function queryOf(filter: Filter): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of NAMES) if (filter[name] !== NONE[name]) query.set(name, filter[name]);
  return query;
}

/** Says whether anything is left out. */
export const isNarrow = (filter: Filter) =>
  NAMES.some((name) => name !== "sort" && filter[name] !== "");

/** Says whether a video that the list doesn't hold belongs into it, as far as that can be told. */
export function takes(filter: Filter, video: Video): boolean {
  // Words and places are the server's to compare; only the newest are surely at the beginning.
  if (filter.q || filter.sort !== NEWEST) return false;
  const { state, tag, sessionId, owner } = filter;
  return (
    (!state || video.state === state) &&
    (!tag || (video.tags ?? []).includes(tag)) &&
    (!sessionId || video.sessionId === sessionId) &&
    (!owner || video.owner === owner)
  );
}
