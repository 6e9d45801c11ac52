/** The server's answers as types, and one function for each question a page asks. */

import type { Document } from "./document";
import { door, headersFor } from "./door";
import { ANSWER_MS } from "./plan";
import { words } from "./words";

export type VideoState = "uploading" | "queued" | "processing" | "ready" | "failed";
export type Visibility = "public" | "unlisted" | "private";
export type Role = "admin" | "uploader" | "viewer";
export type StageState = "pending" | "running" | "done" | "failed" | "skipped";

export interface Stage {
  name: string;
  state: StageState;
  progress?: number | null;
  finishedAt?: string | null;
}

export interface Processing {
  state: VideoState;
  progress: number;
  stages: Stage[];
  queuePosition?: number | null;
  etaSeconds?: number | null;
  speed?: number | null;
}

export interface Rendition {
  name: string;
  kind: string;
  width: number;
  height: number;
  bandwidth?: number | null;
  codecs?: string | null;
  state: "pending" | "running" | "ready" | "failed";
  progress?: number | null;
}

export interface Caption {
  lang: string;
  label?: string | null;
  kind?: string | null;
  url: string;
}

export interface Chapter {
  start: number;
  end: number;
  title: string;
}

export interface Playback {
  hls?: string | null;
  dash?: string | null;
  mp4?: string | null;
  poster?: string | null;
  storyboard?: string | null;
  playableSeconds?: number | null;
  captions?: Caption[];
  chapters?: { url: string; items: Chapter[] } | null;
}

export interface VideoError {
  code: string;
  title: string;
  detail?: string | null;
  /** What one can do. */
  advice?: string;
  retryable?: boolean;
}

/** What is said of an error beneath its title. */
export function explained(error: VideoError): string {
  return words.sentences(error.detail, error.advice);
}

/** A video. Somebody who isn't its owner gets fewer fields, so nearly all may be missing. */
export interface Video {
  id: string;
  kind?: "video" | "audio" | "file";
  title: string;
  description?: string | null;
  tags?: string[];
  filename?: string;
  owner?: string;
  sessionId?: string | null;
  size?: number | null;
  /** The file as it was sent is there. */
  originalKept?: boolean;
  state: VideoState;
  playable?: boolean;
  visibility?: Visibility;
  /** Of the whole file, in hex, where the server has compared it. */
  sha256?: string | null;
  posterChoice?: { state: "pending" | "set" | "failed"; error?: VideoError | null } | null;
  createdAt?: string;
  duration?: number | null;
  source?: {
    duration?: number | null;
    width?: number | null;
    height?: number | null;
    videoCodec?: string | null;
    audioCodec?: string | null;
  } | null;
  renditions?: Rendition[];
  playback?: Playback | null;
  processing?: Processing | null;
  warnings?: { code: string; detail: string }[];
  error?: VideoError | null;
}

export interface Session {
  mode: "token" | "jwt" | "open";
  role: Role | null;
  owner?: string | null;
  /** The caller is an account, which has a password. */
  account?: boolean;
  /** The organisation that the owner is in. */
  org?: string | null;
  /** What the caller may do, such as `video:write`; `admin` is the server's operator's. */
  rights?: string[];
  limits: { maxSize: number; chunkSize: number };
  /** How long what is deleted can be brought back; 0: not at all. */
  trashSeconds?: number;
  /** The upload grant by which somebody comes, who has no name here. */
  grant?: { used: boolean; expiresAt: string; metadata: Record<string, string> };
}

/** Says whether somebody runs the server. */
export function isOperator(session: Session | null): boolean {
  return session?.rights?.includes("admin") ?? false;
}

/** Says whether what `owner` has is somebody's own, or of the organisation that they run. */
export function isOver(session: Session | null, owner: string | undefined): boolean {
  if (!session || owner === undefined) return false;
  if (owner === session.owner || isOperator(session)) return true;
  return session.role === "admin" && !!session.org && owner.startsWith(`${session.org}/`);
}

/** Says whether somebody may change what `owner` has. */
export function mayChange(session: Session | null, owner: string | undefined): boolean {
  return isOver(session, owner) && !!session?.rights?.includes("video:write");
}

/** An upload that waits for the rest of its bytes. */
export interface PartialUpload {
  uploadId: string;
  videoId: string | null;
  filename: string;
  size: number | null;
  receivedBytes: number;
  expiresAt?: string | null;
  url: string;
}

export interface QueueNumbers {
  queued: number;
  running: number;
  failed: number;
  doneLastHour: number;
  workers: number;
  oldestQueuedSeconds?: number | null;
  etaSeconds?: number | null;
  paused?: boolean;
}

/** A refusal or failure in the server's own words (RFC 9457). `status` 0: no answer at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail = "",
    readonly code = "",
    readonly retryable = status === 0 || status >= 500,
    readonly retryAfterMs: number | null = null,
  ) {
    super(detail || title);
  }
}

/** Reads a failed answer, whatever its body turns out to be. */
export function problemFrom(status: number, body: string, retryAfter: string | null): Problem {
  let said: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(body);
    if (parsed && typeof parsed === "object") said = parsed as Record<string, unknown>;
  } catch {
    // A proxy's HTML page: its text helps nobody, the status alone decides the words.
  }
  const text = (key: string) => (typeof said[key] === "string" ? (said[key] as string) : "");
  const known = words.status[status];
  return new Problem(
    status,
    text("title") || known || words.problem.server(status),
    text("detail"),
    text("code"),
    typeof said.retryable === "boolean" ? said.retryable : status >= 500 || status === 429,
    retryAfterFrom(retryAfter, said.retryAfter),
  );
}

function retryAfterFrom(header: string | null, inBody: unknown): number | null {
  if (typeof inBody === "number") return inBody * 1000;
  if (!header) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

/** A line can die without saying so; small questions aren't worth waiting longer for. */
const PATIENCE_MS = 20_000;

export async function ask(
  path: string,
  init: RequestInit = {},
  patienceMs = PATIENCE_MS,
): Promise<Response> {
  const patience = new AbortController();
  const timer = window.setTimeout(() => patience.abort(), patienceMs);
  let answer: Response;
  try {
    answer = await fetch(door.url(path), {
      credentials: "same-origin",
      signal: patience.signal,
      ...init,
      headers: { ...door.headers, ...init.headers },
    });
  } catch {
    if (patience.signal.aborted) {
      throw new Problem(0, words.problem.stalled, words.problem.stalledDetail);
    }
    throw new Problem(0, words.problem.offline, words.problem.offlineDetail);
  } finally {
    window.clearTimeout(timer);
  }
  if (!answer.ok) {
    throw problemFrom(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  }
  return answer;
}

export async function json<T>(path: string, init?: RequestInit, patienceMs?: number): Promise<T> {
  const headers = { Accept: "application/json", ...(init?.headers ?? {}) };
  const answer = await ask(path, { ...init, headers }, patienceMs);
  try {
    return door.read(await answer.text()) as T;
  } catch {
    // Cut off, or a page of something in between: the server hasn't said this.
    throw new Problem(0, words.problem.offline, words.problem.offlineDetail);
  }
}

const videoPath = (id: string) => `/api/videos/${encodeURIComponent(id)}`;

let sessionOnce: Promise<Session> | null = null;

/** Returns who is here and what they may send. Asked once for each page. */
export function session(): Promise<Session> {
  sessionOnce ??= json<Session>("/api/session").catch((problem: unknown) => {
    sessionOnce = null;
    if (problem instanceof Problem && problem.status === 401) {
      return { mode: "token", role: null, limits: { maxSize: 5e12, chunkSize: 8 << 20 } };
    }
    throw problem;
  });
  return sessionOnce;
}

/** Somebody else calls from now on. */
export function forgetSession(): void {
  sessionOnce = null;
}

/** Describes a video, to whoever has a playback token too. */
export const video = (id: string, token = "") =>
  json<Video>(videoPath(id), { headers: headersFor(token) });

export type Page<T> = { items: T[]; nextCursor: string | null };

/** Lists videos; the query's names are those of the API. */
export const videos = (query: URLSearchParams) =>
  json<Page<Video>>(`/api/videos?${query.toString()}`);

/** What people say of a video. */
export interface Details {
  title?: string;
  description?: string;
  tags?: string[];
  visibility?: Visibility;
}

export const saveDetails = (id: string, details: Details) =>
  json<Video>(videoPath(id), {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(details),
  });

/** A picture for a video: one of its moments, or a picture of one's own. */
export type PosterChoice = { time: number } | File;

/** Sets the poster; waits for it a few seconds. A video's `posterChoice` tells the rest. */
export function choosePoster(id: string, choice: PosterChoice): Promise<Video> {
  const own = choice instanceof File;
  return json<Video>(
    `${videoPath(id)}/poster`,
    {
      method: "PUT",
      headers: { "Content-Type": own ? choice.type : "application/json" },
      body: own ? choice : JSON.stringify(choice),
    },
    ANSWER_MS,
  );
}

/** A picture out of the film, to choose from; of the poster itself there is no moment. */
export interface Still {
  url: string;
  time?: number | null;
}

export async function stills(id: string): Promise<Still[]> {
  return (await json<{ items: Still[] }>(`${videoPath(id)}/thumbnails`)).items;
}

export async function deleteVideo(id: string): Promise<void> {
  await ask(videoPath(id), { method: "DELETE" });
}

/** Makes a link with which anybody plays a video for so many seconds. */
export async function playbackLink(id: string, seconds: number): Promise<string> {
  const path = `${videoPath(id)}/playback-token`;
  const { watchUrl } = await json<{ watchUrl: string }>(path, sent({ expiresIn: seconds }));
  return new URL(door.url(watchUrl), location.href).href;
}

/** Ends all links that were made so far with which anybody plays a video. */
export async function endPlaybackLinks(id: string): Promise<void> {
  await ask(`${videoPath(id)}/playback-tokens/revoke`, { method: "POST" });
}

/** Brings a video back from the trash. */
export const restoreVideo = (id: string) =>
  json<Video>(`${videoPath(id)}/restore`, { method: "POST" });

export async function retryProcessing(id: string): Promise<void> {
  await ask(`${videoPath(id)}/retry-processing`, { method: "POST" });
}

/** How far the work on a video is. */
export interface Progress {
  videoId: string;
  state: VideoState;
}

/** Returns how far the work is on many videos; those that are gone are left out. */
export async function progressOf(ids: readonly string[]): Promise<Progress[]> {
  const found: Progress[] = [];
  for (let at = 0; at < ids.length; at += STATUS_MAX) {
    const some = ids.slice(at, at + STATUS_MAX).join(",");
    const page = await json<Page<Progress>>(`/api/videos/status?videoIds=${some}`);
    found.push(...page.items);
  }
  return found;
}

const STATUS_MAX = 200;

/** Lists the unfinished uploads; those of one session, if it is named. */
export async function partialUploads(session = ""): Promise<PartialUpload[]> {
  const found: PartialUpload[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const query = new URLSearchParams({ state: "partial" });
    if (session) query.set("sessionId", session);
    if (cursor) query.set("cursor", cursor);
    const page: Page<PartialUpload> = await json<Page<PartialUpload>>(`/api/uploads?${query}`);
    found.push(...page.items);
    cursor = page.nextCursor;
  }
  return found;
}

/** Returns the video that came of the newest upload that has arrived, if there is one. */
export async function newestArrived(): Promise<string | null> {
  const page = await json<Page<PartialUpload>>("/api/uploads?state=finished&limit=1");
  return page.items[0]?.videoId ?? null;
}

/** Describes the API. */
export const openApi = () => json<Document>("/openapi.json");

/** Ends an upload on the server. One that is gone already counts as ended. */
export async function endUpload(url: string): Promise<void> {
  try {
    await ask(url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
  } catch (problem) {
    if (!(problem instanceof Problem && [404, 410].includes(problem.status))) throw problem;
  }
}

const PARTS = "/api/videos/upload/";

/** Returns the address of an upload that comes in numbered parts. */
export const partsUrl = (uploadId: string) => PARTS + encodeURIComponent(uploadId);

/** Says whether the upload at this address comes in numbered parts. */
export const isInParts = (url: string) => url.startsWith(PARTS);

/** An upload that was just begun, and how its file is cut. */
export interface Begun {
  uploadId: string;
  videoId: string | null;
  chunkSize: number;
  totalChunks: number;
}

/** How far an upload is. */
export interface UploadStatus {
  videoId: string | null;
  missingChunks: number[];
  wanted: [start: number, end: number][];
  chunkSize: number | null;
  /** The parts that have arrived with their SHA-256, if that was asked for. */
  parts?: { index: number; etag: string }[];
}

export const sent = (body: object): RequestInit => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/** What goes with an upload from its beginning. */
export type About = Details & { sessionId?: string };

/** Begins an upload in parts of about `chunkSize` bytes. */
export function beginInParts(file: File, chunkSize: number, about: About): Promise<Begun> {
  const { name: filename, size, type } = file;
  const contentType = type || undefined;
  const said = { ...about, filename, size, contentType, chunkSize };
  return json<Begun>(`${PARTS}initiate`, sent(said));
}

export const uploadStatus = (url: string, withParts = false) =>
  json<UploadStatus>(withParts ? `${url}?parts=true` : url);

/** Says whether this is the server's answer to a part that it has stored. */
export function isPartStored(answer: string, index: number): boolean {
  try {
    return (JSON.parse(answer) as { index?: unknown } | null)?.index === index;
  } catch {
    return false;
  }
}

/** Ends an upload all of whose parts have arrived, as often as it is asked. */
export async function completeUpload(url: string, sha256: string | null): Promise<void> {
  const said = { uploadId: url.slice(PARTS.length), ...(sha256 ? { sha256 } : {}) };
  await json(`${PARTS}complete`, sent(said), ANSWER_MS);
}

/** Returns the metadata that the upload was created with. */
export async function uploadMetadata(url: string): Promise<Map<string, string>> {
  const answer = await ask(url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
  const found = new Map<string, string>();
  for (const pair of (answer.headers.get("Upload-Metadata") ?? "").split(",")) {
    const [key, value] = pair.trim().split(" ");
    if (!key) continue;
    try {
      const bytes = Uint8Array.from(atob(value ?? ""), (c) => c.charCodeAt(0));
      found.set(key, new TextDecoder().decode(bytes));
    } catch {
      // Not base64: another client's key, of no use here.
    }
  }
  return found;
}
