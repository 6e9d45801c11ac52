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
