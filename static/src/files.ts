/** Files out of a drop, a paste or a chooser, with handles where the browser gives them. */

import type { Given } from "./item";
import type { Handle } from "./resume";

type ItemWithHandle = DataTransferItem & {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
};

/** Says whether what is dragged holds files at all. */
export function holdsFiles(data: DataTransfer | null): boolean {
  return !!data && [...data.types].includes("Files");
}

export function fromList(files: FileList | null | undefined): Given[] {
  return [...(files ?? [])].map((file) => ({ file, handle: null }));
}

/** Files of a chosen folder, without what the system hides there. */
export function fromFolder(files: FileList | null | undefined): Given[] {
  const isHidden = ({ webkitRelativePath }: File) => /(^|\/)\./.test(webkitRelativePath);
  return fromList(files).filter(({ file }) => !isHidden(file));
}

type Picker = (options: { multiple: boolean }) => Promise<Handle[]>;

/** Says whether the browser's chooser can give files that it finds again on another day. */
export const picker = (window as { showOpenFilePicker?: Picker }).showOpenFilePicker ?? null;

/** Lets the person choose files; nothing if they didn't. */
export async function pick(choose: Picker, multiple: boolean): Promise<Given[]> {
  try {
    const handles = await choose.call(window, { multiple });
    return await Promise.all(
      handles.map(async (handle) => ({ file: await handle.getFile(), handle })),
    );
  } catch {
    return [];
  }
}

/** What a page wants: kinds as in `<input accept>`, and how many files at most. */
export interface Rules {
  accept: string;
  most: number;
}

/** Parts what may be taken, where `have` files were before, from what may not. */
export function sift(given: readonly Given[], rules: Rules, have: number): [Given[], Given[]] {
  const room = Math.max(0, rules.most - have);
  const fitting = given.filter(({ file }) => isAccepted(file, rules.accept));
  const taken = fitting.slice(0, room);
  return [taken, given.filter((one) => !taken.includes(one))];
}

/** Endings of films whose kind browsers often don't know. */
const FILMS = /\.(mkv|mka|avi|flv|wmv|mts|m2ts|ts|mxf|mpg|mpeg|vob|3gp|ogv|mov|m4v|mp4|webm)$/i;

/** Says whether a file is of a wanted kind, told by its type or its ending. */
export function isAccepted({ name, type }: File, accept: string): boolean {
  const kinds = accept
    .toLowerCase()
    .split(",")
    .map((kind) => kind.trim())
    .filter(Boolean);
  const known = type || (FILMS.test(name) ? "video/x" : "");
  return (
    kinds.length === 0 ||
    kinds.some((kind) => {
      if (kind.startsWith(".")) return name.toLowerCase().endsWith(kind);
      if (kind.endsWith("/*")) return known.startsWith(kind.slice(0, -1)) || kind === "*/*";
      return type === kind;
    })
  );
}

/** Reads a drop, folders included. What the drop holds is gone after the first await. */
export async function fromDrop(data: DataTransfer): Promise<Given[]> {
  const files = fromList(data.files);
  const pending = [...data.items]
    .filter((item) => item.kind === "file")
    .map((item) => {
      const entry = item.webkitGetAsEntry();
      const handle = (item as ItemWithHandle).getAsFileSystemHandle?.().catch(() => null);
      return { file: item.getAsFile(), entry, handle };
    });
  const given: Given[] = [];
  for (const { file, entry, handle } of pending) {
    if (entry?.isDirectory) {
      for (const found of await walk(entry)) given.push({ file: found, handle: null });
    } else if (file) {
      const kept = await handle;
      given.push({ file, handle: kept?.kind === "file" ? (kept as Handle) : null });
    }
  }
  return given.length > 0 ? given : files;
}

async function walk(entry: FileSystemEntry): Promise<File[]> {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    return [await new Promise<File>((ok, no) => (entry as FileSystemFileEntry).file(ok, no))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    // A reader hands out a hundred entries at a time; an empty batch is the end.
    const batch = await new Promise<FileSystemEntry[]>((ok, no) => reader.readEntries(ok, no));
    if (batch.length === 0) return found;
    for (const child of batch) found.push(...(await walk(child)));
  }
}
