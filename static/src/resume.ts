/**
 * What survives a reload: for each upload a record in localStorage that tells its file again,
 * and, where the browser gives one, a handle to the file itself in IndexedDB.
 *
 * Neither is trusted alone. The server's list says which uploads there are, and a file goes on
 * only if its size and its first and last bytes are those it began with.
 */

export interface FileRecord {
  name: string;
  size: number;
  mark: string;
  at: number;
  /** The person paused it: it doesn't go on without a word of theirs. */
  rests?: boolean;
}

/** Returns an upload's address without the origin, the form in which it is kept. */
export function pathOf(url: string): string {
  return new URL(url, location.href).pathname;
}

const PREFIX = "slipway.upload:";
const KEEP_MS = 8 * 24 * 3600 * 1000;
const EDGE_BYTES = 64 * 1024;

/** Returns a short text that changes when the size, the head or the tail of the file changes. */
export async function markOf(file: Blob): Promise<string> {
  const head = await file.slice(0, EDGE_BYTES).arrayBuffer();
  const tail = await file.slice(Math.max(0, file.size - EDGE_BYTES)).arrayBuffer();
  // Not SubtleCrypto: a server without TLS on the local network has none, and this guards
  // against mistakes, not against malice.
  return `${file.size.toString(36)}-${hash(head)}-${hash(tail)}`;
}

/** cyrb53: 53 bits, well mixed, in a few lines. */
function hash(bytes: ArrayBuffer): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const byte of new Uint8Array(bytes)) {
    a = Math.imul(a ^ byte, 2654435761);
    b = Math.imul(b ^ byte, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}

/** Keeps what is needed to know the file again. Private windows may refuse; then it is not kept. */
export function remember(url: string, record: FileRecord): void {
  try {
    localStorage.setItem(PREFIX + url, JSON.stringify(record));
  } catch {
    // Full or forbidden: resuming still works through the server's list.
  }
}

/** Notes whether an upload was paused. */
export function rest(url: string, rests: boolean): void {
  const record = recall(url);
  if (record) remember(url, { ...record, rests });
}

export function recall(url: string): FileRecord | null {
  try {
    const found = localStorage.getItem(PREFIX + url);
    return found ? (JSON.parse(found) as FileRecord) : null;
  } catch {
    return null;
  }
}

export function forget(url: string): void {
  try {
    localStorage.removeItem(PREFIX + url);
  } catch {
    // Nothing was kept then.
  }
  void handles("readwrite", (store) => store.delete(url));
}

/** Forgets records of uploads that no server keeps that long. */
export function prune(now: number): void {
  try {
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(PREFIX)) continue;
      const url = key.slice(PREFIX.length);
      if (now - (recall(url)?.at ?? 0) > KEEP_MS) forget(url);
    }
  } catch {
    // Storage is forbidden: nothing to prune.
  }
}

/** A file handle with the permission calls that only Chromium has. */
export type Handle = FileSystemFileHandle & {
  queryPermission?(options: { mode: "read" }): Promise<PermissionState>;
  requestPermission?(options: { mode: "read" }): Promise<PermissionState>;
};

export async function keepHandle(url: string, handle: Handle): Promise<void> {
  await handles("readwrite", (store) => store.put(handle, url));
}

export async function handleOf(url: string): Promise<Handle | null> {
  return ((await handles("readonly", (store) => store.get(url))) as Handle | undefined) ?? null;
}

/** Opens the file behind a handle if the browser needn't ask. */
export async function openQuietly(handle: Handle): Promise<File | null> {
  try {
    const may = await handle.queryPermission?.({ mode: "read" });
    return may === "granted" ? await handle.getFile() : null;
  } catch {
    return null;
  }
}

/** Opens the file behind a handle. Must run in a click, because the browser may have to ask. */
export async function open(handle: Handle): Promise<File | null> {
  try {
    const asked = await handle.requestPermission?.({ mode: "read" });
    if (asked && asked !== "granted") return null;
    return await handle.getFile();
  } catch {
    return null;
  }
}

function handles<T>(
  mode: IDBTransactionMode,
  action: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let opening: IDBOpenDBRequest;
    try {
      opening = indexedDB.open("slipway", 1);
    } catch {
      return resolve(undefined);
    }
    opening.onupgradeneeded = () => opening.result.createObjectStore("handles");
    opening.onerror = () => resolve(undefined);
    opening.onsuccess = () => {
      const db = opening.result;
      try {
        const request = action(db.transaction("handles", mode).objectStore("handles"));
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => resolve(undefined);
        request.transaction?.addEventListener("complete", () => db.close());
      } catch {
        // A handle that can't be stored is only a click more for the person.
        db.close();
        resolve(undefined);
      }
    };
  });
}

/**
 * Takes an upload for this tab, as long as it is sent here. Returns what gives it back, or null if
 * another tab of this browser has it.
 */
export function claim(url: string): Promise<(() => void) | null> {
  // The lock manager is missing without TLS; two tabs then take turns, which the server bears.
  if (!navigator.locks) return Promise.resolve(() => undefined);
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => {
      if (!lock) return resolve(null);
      return new Promise<void>((release) => resolve(release));
    };
    navigator.locks
      .request(PREFIX + url, { ifAvailable: true }, hold)
      .catch(() => resolve(() => undefined));
  });
}

/** Resolves when no tab has this upload any more. */
export async function released(url: string): Promise<void> {
  await navigator.locks?.request(PREFIX + url, () => undefined);
}

/** Returns the addresses of uploads that any tab of this browser is sending just now. */
export async function claimed(): Promise<Set<string>> {
  const names = (await navigator.locks?.query())?.held?.map((lock) => lock.name ?? "") ?? [];
  return new Set(
    names.filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length)),
  );
}
