/**
 * A picture out of a local film, while the server has none: one film at a time, and only of rows
 * that are seen. Films that this browser can't show have none.
 */

const WIDTH = 320;
const PATIENCE_MS = 8_000;
/** Browsers that don't tell when a picture is there have it by then. */
const SHOWN_MS = 500;
/** Not the very first picture, which is often black. */
const SECONDS = 1.5;

/** Pictures that were made, so that a row that is drawn again has its own at once. */
const made = new WeakMap<File, string>();

interface Wish {
  file: File;
  deliver: (url: string) => void;
}

class Stills {
  #wishes = new Map<Element, Wish>();
  #seen = new Set<Element>();
  #isBusy = false;
  #watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#seen.add(target);
      else this.#seen.delete(target);
    }
    void this.#work();
  });

  /** Gives a picture of `file` once `row` is seen. */
  want(row: Element, file: File, deliver: (url: string) => void): void {
    const known = made.get(file);
    if (known !== undefined) {
      if (known) deliver(known);
    } else if (file.type.startsWith("video/")) {
      this.#wishes.set(row, { file, deliver });
      this.#watcher.observe(row);
    }
  }

  forget(row: Element): void {
    this.#wishes.delete(row);
    this.#seen.delete(row);
    this.#watcher.unobserve(row);
  }

  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (;;) {
      const row = [...this.#seen].find((one) => this.#wishes.has(one));
      const wish = row && this.#wishes.get(row);
      if (!wish) break;
      const url = await pictureOf(wish.file).catch(() => "");
      made.set(wish.file, url);
      // The server's own may have come meanwhile.
      if (url && this.#wishes.get(row) === wish) wish.deliver(url);
      if (this.#wishes.get(row) === wish) this.forget(row);
    }
    this.#isBusy = false;
  }
}

/** A picture of a film, and the second that it is from. */
export interface Frame {
  url: string;
  time: number;
}

/** Gives pictures from all over a local film; none if this browser can't show it. */
export async function framesOf(file: File, count: number): Promise<Frame[]> {
  if (!file.type.startsWith("video/")) return [];
  const shares = Array.from({ length: count }, (_, at) => (at + 0.5) / count);
  const pick = (seconds: number) =>
    Number.isFinite(seconds) ? shares.map((it) => it * seconds) : [];
  return grab(file, pick).catch(() => []);
}

async function pictureOf(file: File): Promise<string> {
  const frames = await grab(file, (seconds) => [Math.min(SECONDS, seconds / 2 || 0)]);
  return frames[0]?.url ?? "";
}

/** Draws a film at the times that `pick` names of its length. */
async function grab(file: File, pick: (seconds: number) => number[]): Promise<Frame[]> {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "metadata";
  const source = URL.createObjectURL(file);
  const frames: Frame[] = [];
  try {
    video.src = source;
    await happens(video, "loadedmetadata");
    for (const time of pick(video.duration)) {
      const shown = isShown(video);
      video.currentTime = time;
      await happens(video, "seeked");
      await shown;
      const picture = await drawn(video);
      if (picture) frames.push({ url: URL.createObjectURL(picture), time });
    }
    return frames;
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(source);
  }
}

/** Resolves when the next picture is there to be drawn, which may be after the seeking has ended. */
function isShown(video: HTMLVideoElement): Promise<void> {
  return new Promise((ok) => {
    window.setTimeout(ok, SHOWN_MS);
    // Firefox has this only since version 132.
    video.requestVideoFrameCallback?.(() => ok());
  });
}

function drawn(video: HTMLVideoElement): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = Math.round((WIDTH * video.videoHeight) / video.videoWidth);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((ok) => canvas.toBlob(ok, "image/jpeg", 0.7));
}

function happens(video: HTMLVideoElement, event: string): Promise<void> {
  return new Promise((ok, no) => {
    const timer = window.setTimeout(no, PATIENCE_MS);
    video.addEventListener(event, () => (window.clearTimeout(timer), ok()), { once: true });
    video.addEventListener("error", () => (window.clearTimeout(timer), no()), { once: true });
  });
}

export const stills = new Stills();
