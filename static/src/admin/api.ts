/** What only operators ask: the answers as types, and one function for each question. */

import { ask, json, sent, type Page, type QueueNumbers, type Video, type VideoError } from "../api";

export interface Job {
  id: string;
  videoId: string;
  title: string | null;
  owner: string;
  state: string;
  priority: number;
  stage: string | null;
  progress: number | null;
  renditions: { name: string; progress: number }[];
  speed: number | null;
  children: number;
  memoryBytes: number;
  attempt: number;
  position: number | null;
  retryAt: string | null;
  createdAt: string;
  startedAt: string | null;
  etaSeconds: number | null;
  behindSeconds: number | null;
  error: VideoError | null;
}

export interface Status {
  version: string;
  startedAt: string;
  uptimeSeconds: number;
  ffmpeg: string;
  sandbox: { layers: string[]; detail: string | null };
  queue: QueueNumbers;
  disk: { freeBytes: number; totalBytes: number; reserveBytes: number; usedBytes: number | null };
  uploads: { open: number; receivingBytes: number };
  warnings: { code: string; detail: string }[];
}

export interface Upload {
  uploadId: string;
  videoId: string | null;
  owner: string;
  filename: string;
  door: string;
  size: number | null;
  receivedBytes: number;
  changedAt: string;
  expiresAt: string;
}

export interface Step {
  at: string;
  uploads: number;
  uploadedBytes: number;
  filmSeconds: number;
  workSeconds: number;
  waitedSeconds: number;
}

export interface Happening {
  id: number;
  type: string;
  at: string;
  videoId: string | null;
  owner: string | null;
  title: string | null;
  state: string | null;
  error: VideoError | null;
}

export interface Finding {
  kind: string;
  action: string;
  count: number;
  bytes: number;
  examples: { id: string; detail: string | null }[];
}

export interface Report {
  startedAt: string;
  finishedAt: string;
  by: "schedule" | "admin";
  dryRun: boolean;
  count: number;
  bytes: number;
  findings: Finding[];
  faults: string[];
}

export interface Weight {
  files: number;
  bytes: number;
}

/** Where bytes lie, in the order in which they are shown. */
export const KINDS = [
  "originals",
  "renditions",
  "pictures",
  "texts",
  "uploads",
  "work",
  "trash",
] as const;
export type Kind = (typeof KINDS)[number];
type Holdings = { bytes: number } & Record<Exclude<Kind, "work">, Weight>;
type Strange = { count: number; bytes: number; examples: string[] };

export interface Audit {
  finishedAt: string;
  total: Holdings;
  work: Weight;
  owners: (Holdings & { owner: string })[];
  orphans: Strange;
  missingOriginals: Strange;
  missingMedia: Strange;
}

export interface Webhook {
  id: string;
  url: string;
  waiting: number;
  disabled: boolean;
  failures: number;
  lastSuccessAt: string | null;
  lastFailureAt: string | null;
  lastError: string | null;
}

export const DELIVERY_STATES = ["pending", "delivered", "given-up"] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

export interface Delivery {
  id: string;
  webhookId: string;
  type: string;
  videoId: string | null;
  at: string;
  state: DeliveryState;
  attempts: number;
  nextAt: string | null;
  endedAt: string | null;
  status: number | null;
  error: string | null;
}

export interface Token {
  id: string;
  role: string;
  owner: string;
  name: string | null;
  scopes: string[];
  maxSize: number | null;
  maxUploads: number | null;
  uploadsBegun: number;
  accept: string[] | null;
  createdAt: string;
  expiresAt: string | null;
  usedAt: string | null;
  current: boolean;
}

export const ROLES = ["viewer", "uploader", "admin"] as const;

export interface NewToken {
  role: string;
  name?: string;
  owner?: string;
  expiresIn?: number;
  scopes?: string[];
  maxSize?: number;
  maxUploads?: number;
  accept?: string[];
}

/** What a token can be confined to, and the smallest role that has it; none: the operator's. */
export const SCOPES: readonly { scope: string; role: (typeof ROLES)[number] | null }[] = [
  { scope: "video:read", role: "viewer" },
  { scope: "video:write", role: "uploader" },
  { scope: "upload:read", role: "viewer" },
  { scope: "upload:create", role: "uploader" },
  { scope: "grant:create", role: "uploader" },
  { scope: "metrics", role: "viewer" },
  { scope: "admin", role: null },
];

export interface User {
  id: string;
  name: string;
  role: string;
  disabled: boolean;
  createdAt: string;
  seenAt: string | null;
  current: boolean;
}

export interface NewUser {
  name: string;
  role: string;
  password: string;
}

type Trashed = Video & { trash: { deletedAt: string; removedAt: string } };

const post = (body: object): RequestInit => sent(body);
const put = (body: object): RequestInit => ({ ...sent(body), method: "PUT" });
const videoPath = (id: string) => `/api/videos/${encodeURIComponent(id)}`;
/** Looking at everything may take minutes where there is much. */
const LONG_MS = 600_000;

export const status = () => json<Status>("/api/admin/status");
export const running = () =>
  json<Page<Job>>("/api/videos/processing/jobs?state=running&limit=50");
export const line = () => json<{ items: Job[]; total: number }>("/api/admin/queue?limit=25");
export const failed = () => json<Page<Video>>("/api/videos?state=failed&limit=50");
export const uploads = () => json<{ items: Upload[]; total: number }>("/api/admin/uploads?limit=25");
export const steps = () => json<{ steps: Step[] }>("/api/admin/figures");
export const happenings = () => json<{ items: Happening[] }>("/api/admin/events?limit=30");
export const storage = (refresh: boolean) =>
  json<{ running: boolean; audit: Audit | null }>(
    refresh ? "/api/admin/storage?refresh=true" : "/api/admin/storage",
    {},
    30_000,
  );
export const cleanups = () => json<{ items: Report[] }>("/api/admin/cleanup");
export const cleanUp = (dryRun: boolean) =>
  json<Report>("/api/admin/cleanup", post({ dryRun }), LONG_MS);
export const webhooks = () => json<{ items: Webhook[] }>("/api/admin/webhooks");
export const deliveries = (state: DeliveryState) =>
  json<Page<Delivery>>(`/api/admin/webhooks/deliveries?state=${state}&limit=25`);
export const testWebhooks = () =>
  json<{ webhooks: number }>("/api/admin/webhooks/test", { method: "POST" });
export const tokens = () => json<{ items: Token[] }>("/api/admin/tokens");

export const trash = (cursor: string | null) =>
  json<Page<Trashed>>(
    `/api/videos?trashed=true&limit=25${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
  );
export type { Trashed };

export async function retryDelivery(id: string): Promise<void> {
  await ask(`/api/admin/webhooks/deliveries/${encodeURIComponent(id)}/retry`, { method: "POST" });
}

export async function revoke(id: string): Promise<void> {
  await ask(`/api/admin/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Makes a token; its secret is in the answer and nowhere else. */
export const createToken = (wanted: NewToken) =>
  json<Token & { token: string }>("/api/admin/tokens", post(wanted));

export const users = () => json<{ items: User[] }>("/api/admin/users");
export const createUser = (wanted: NewUser) => json<User>("/api/admin/users", post(wanted));

export async function changeUser(
  id: string,
  change: { role?: string; password?: string; disabled?: boolean },
): Promise<void> {
  await ask(`/api/admin/users/${encodeURIComponent(id)}`, { ...sent(change), method: "PATCH" });
}

export async function removeUser(id: string): Promise<void> {
  await ask(`/api/admin/users/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export async function pause(paused: boolean): Promise<void> {
  await ask("/api/admin/queue", put({ paused }));
}

export async function prioritise(videoId: string, priority: number): Promise<void> {
  await ask(`${videoPath(videoId)}/priority`, put({ priority }));
}

export async function cancel(videoId: string): Promise<void> {
  await ask(`${videoPath(videoId)}/cancel-processing`, { method: "POST" });
}

/** Has the work done again: what is missing, and `stage` anew if one is named. */
export async function retry(videoId: string, stage: string): Promise<void> {
  await ask(`${videoPath(videoId)}/retry-processing`, stage ? post({ stage }) : { method: "POST" });
}

export async function removeForGood(videoId: string): Promise<void> {
  await ask(`${videoPath(videoId)}?permanent=true`, { method: "DELETE" });
}
