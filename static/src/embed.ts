/**
 * What another site's page may rely on: the elements' properties, methods and events. The package's
 * types are made of this file alone.
 */

/** A file in the list of a `<slipway-upload>`. */
export interface UploadFile {
  /** Its number in this element; files that are removed give theirs to nobody. */
  id: number;
  name: string;
  size: number;
  /** Bytes that have left for the server. */
  sent: number;
  state: "uploading" | "paused" | "processing" | "ready" | "failed" | "unfinished";
  /** The video's id, as soon as the server has given one. */
  videoId: string | null;
  /** SHA-256 of the whole file in hex, soon after all of it has been sent. */
  sha256: string | null;
}

/** How far all files are together. */
export interface UploadProgress {
  sent: number;
  total: number;
  files: number;
  done: number;
}

/** Why a file failed, in words for people. */
export interface UploadProblem {
  title: string;
  detail: string;
}

/**
 * `<slipway-upload endpoint token accept max-files session theme>`. Attributes may change at any
 * time, but for `endpoint` and `session`, which count when the element comes into the page.
 */
export interface SlipwayUploadElement extends HTMLElement {
  /** The files in the list, as they are now. */
  readonly files: UploadFile[];
  /** Takes files in, as if they had been dropped. */
  addFiles(files: Iterable<File>): void;
  pause(): void;
  resume(): void;
  /** Ends all uploads that haven't arrived, here and on the server. */
  cancel(): Promise<void>;
}

/** Events of a `<slipway-upload>`; they bubble, also out of shadow roots. */
export interface SlipwayEventMap {
  "slipway-added": CustomEvent<UploadFile>;
  /** All bytes are with the server. */
  "slipway-uploaded": CustomEvent<UploadFile>;
  /** The video is ready in all qualities. */
  "slipway-ready": CustomEvent<UploadFile>;
  "slipway-failed": CustomEvent<UploadFile & Partial<UploadProblem>>;
  "slipway-removed": CustomEvent<UploadFile>;
  "slipway-progress": CustomEvent<UploadProgress>;
  /** The token isn't good, or not any more: set another one, and everything goes on. */
  "slipway-unauthorized": CustomEvent<undefined>;
}

declare global {
  interface HTMLElementTagNameMap {
    "slipway-upload": SlipwayUploadElement;
  }
  interface HTMLElementEventMap extends SlipwayEventMap {}
}
