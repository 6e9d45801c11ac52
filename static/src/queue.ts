/**
 * The files of the upload page and what happens to each. The only place that changes an item;
 * views are told of every change and draw.
 */

import * as api from "./api";
import { Problem } from "./api";
import { Events, isOfVideo, type ServerEvent } from "./events";
import { busy, type Given, type Item } from "./item";
import { line } from "./line";
import { FILES_AT_ONCE, Pace, backoffMs, detour, firstChunkBytes, isCut, partBytes } from "./plan";
import { withReport } from "./progress";
import * as resume from "./resume";
import { isSameFile, send } from "./transport";
import * as units from "./units";
import { words } from "./words";

/** What the queue keeps of an item and nobody else needs to see. */
interface Work {
  stop: (() => void) | null;
  /** Gives up the claim by which other tabs see that this one is sending. */
  release: (() => void) | null;
  timer: number;
  /** Not before this may it be tried again without a person's wish, as `Date.now()` counts. */
  notBefore: number;
  /** Tries in a row without progress, and parts in a row that were cut off. */
  failures: number;
  cuts: number;
  accepted: number;
  chunkBytes: number;
  mark: string | null;
  /** The file was given for an upload that was begun earlier: to be compared first. */
  verify: "strict" | "lenient" | null;
  pace: Pace;
}

export class Queue {
  readonly items: Item[] = [];
  #work = new Map<number, Work>();
  #listeners = new Set<(item: Item | null) => void>();
  #nextKey = 1;
  #limits = { maxSize: Number.POSITIVE_INFINITY, chunkSize: 8 << 20 };
  readonly #events = new Events(
    { onEvent: (event) => this.#heard(event), onOpen: () => void this.#catchUp() },
    [],
  );

  constructor() {
    window.addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#retryNow();
    });
  }

  /** Calls `listener` after every change: with the item, or with null when the list changed. */
  onChange(listener: (item: Item | null) => void): void {
    this.#listeners.add(listener);
  }

  setLimits(limits: { maxSize: number; chunkSize: number }): void {
    this.#limits = limits;
  }

  /** Takes files in. One that an unfinished upload waits for goes on there. */
  add(given: readonly Given[]): void {
    for (const { file, handle } of given) {
      const known = this.items.find(
        (item) => item.phase === "unfinished" && item.name === file.name && item.size === file.size,
      );
      if (known) this.#adopt(known, file, handle, "lenient");
      else this.#addNew(file, handle);
    }
    this.#changed(null);
    this.#pump();
  }

  /** Goes on with an unfinished upload; another file is refused with a word about it. */
  give(item: Item, file: File, handle: resume.Handle | null): void {
    if (file.size !== item.size) {
      this.#refuseFile(item);
      return;
    }
    this.#adopt(item, file, handle, "strict");
    this.#pump();
  }

  /** Shows the server's unfinished uploads that this page isn't sending. */
  async loadUnfinished(): Promise<void> {
    resume.prune(Date.now());
    const elsewhere = await resume.claimed();
    for (const partial of await api.partialUploads()) {
      const url = resume.pathOf(partial.url);
      if (elsewhere.has(url)) continue;
      if (this.items.some((item) => item.url === url) || partial.size === null) continue;
      const item = this.#create(partial.filename, partial.size, null);
      item.url = url;
      item.videoId = partial.videoId;
      item.sent = partial.receivedBytes;
      item.phase = "unfinished";
      item.handle = await resume.handleOf(url);
      this.#of(item).accepted = partial.receivedBytes;
    }
    this.#changed(null);
  }

  pause(item: Item): void {
    if (!busy.includes(item.phase) && item.phase !== "waiting") return;
    this.#halt(item);
    this.#set(item, { phase: "paused", bytesPerSecond: 0, retryAt: null, problem: null });
    this.#pump();
  }

  resume(item: Item): void {
    if (item.phase !== "paused" && item.phase !== "retrying") return;
    this.#halt(item);
    this.#set(item, { phase: "waiting", problem: null, retryAt: null, loginNeeded: false });
    this.#pump();
  }

  pauseAll(): void {
    for (const item of [...this.items].reverse()) this.pause(item);
  }

  resumeAll(): void {
    for (const item of this.items) if (item.phase === "paused") this.resume(item);
  }

  /** Starts anew what failed: the upload, or the server's work on it. */
  async retry(item: Item): Promise<void> {
    if (item.phase !== "failed") return;
    if (item.video?.state === "failed") {
      try {
        await api.retryProcessing(item.video.id);
        this.#set(item, { phase: "processing", problem: null });
        void this.#refresh(item);
      } catch (problem) {
        this.#set(item, { problem: sayable(problem) });
      }
      return;
    }
    this.#of(item).failures = 0;
    this.#set(item, { phase: "waiting", problem: null });
    this.#pump();
  }

  /** Ends an upload here and on the server, or takes a finished row off the page. */
  async remove(item: Item): Promise<void> {
    const began = item.url !== null && item.phase !== "processing" && item.phase !== "ready";
    const arrived = item.video !== null && item.video.state !== "uploading";
    this.#halt(item);
    if (began && item.url && !arrived) {
      try {
        await api.endUpload(item.url);
      } catch (problem) {
        this.#set(item, { phase: "paused", problem: sayable(problem), bytesPerSecond: 0 });
        return;
      }
    }
    if (item.url) resume.forget(item.url);
    this.#release(this.#of(item));
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    this.#work.delete(item.key);
    this.#changed(null);
    this.#follow();
    this.#pump();
  }

  /** Takes a newer description of the item's video. */
  learn(item: Item, video: api.Video): void {
    if (this.#work.has(item.key)) this.#apply(item, video);
  }

  clearFinished(): void {
    for (const item of this.items.filter((one) => one.phase === "ready")) void this.remove(item);
  }

  /** Bytes are on their way, so leaving the page would interrupt them. */
  get moving(): boolean {
    return this.items.some((item) => busy.includes(item.phase) || item.phase === "waiting");
  }

  #create(name: string, size: number, file: File | null): Item {
    const item: Item = {
      key: this.#nextKey++,
      name,
      size,
      phase: "waiting",
      sent: 0,
      bytesPerSecond: 0,
      file,
      handle: null,
      url: null,
      videoId: null,
      video: null,
      problem: null,
      retryable: false,
      retryAt: null,
      loginNeeded: false,
    };
    this.#work.set(item.key, {
      stop: null,
      release: null,
      timer: 0,
      notBefore: 0,
      failures: 0,
      cuts: 0,
      accepted: 0,
      chunkBytes: firstChunkBytes(this.#limits.chunkSize),
      mark: null,
      verify: null,
      pace: new Pace(),
    });
    this.items.push(item);
    return item;
  }

  #addNew(file: File, handle: resume.Handle | null): void {
    const item = this.#create(file.name, file.size, file);
    item.handle = handle;
    if (file.size === 0) this.#fail(item, words.upload.empty, words.upload.emptyDetail, false);
    else if (file.size > this.#limits.maxSize) {
      const detail = words.upload.tooBigDetail(units.size(this.#limits.maxSize));
      this.#fail(item, words.upload.tooBig, detail, false);
    }
  }

  #adopt(item: Item, file: File, handle: resume.Handle | null, verify: "strict" | "lenient"): void {
    const work = this.#of(item);
    work.verify = verify;
    work.mark = null;
    work.failures = 0;
    this.#set(item, { file, handle: handle ?? item.handle, phase: "waiting", problem: null });
  }

  #refuseFile(item: Item): void {
    this.#set(item, {
      file: null,
      phase: "unfinished",
      problem: {
        title: words.upload.mismatch,
        detail: words.upload.mismatchDetail(item.name),
      },
    });
  }

  #pump(): void {
    let running = this.items.filter((item) => busy.includes(item.phase)).length;
    for (const item of this.items) {
      if (running >= FILES_AT_ONCE) return;
      if (item.phase !== "waiting") continue;
      running += 1;
      void this.#start(item);
    }
  }

  async #start(item: Item): Promise<void> {
    const work = this.#of(item);
    const file = item.file;
    if (!file) return;
    let halted = false;
    work.stop = () => {
      halted = true;
    };
    this.#set(item, { phase: "checking", retryAt: null });
    try {
      work.mark ??= await resume.markOf(file);
      if (!halted && work.verify && item.url) {
        const same = await isSameFile(item.url, file, work.mark);
        if (halted) return;
        if (!same && work.verify === "lenient") {
          // Another file that happens to have the same name and size: an upload of its own.
          this.#set(item, { file: null, phase: "unfinished" });
          this.#addNew(file, item.handle);
          this.#changed(null);
          this.#pump();
          return;
        }
        if (!same) {
          this.#refuseFile(item);
          this.#pump();
          return;
        }
        work.verify = null;
      }
    } catch (problem) {
      if (halted) return;
      if (problem instanceof Problem) this.#interrupted(item, problem);
      else this.#unreadable(item);
      return;
    }
    if (!halted) this.#send(item, file);
  }

  #send(item: Item, file: File): void {
    const work = this.#of(item);
    work.pace.reset();
    this.#set(item, { phase: "uploading", bytesPerSecond: 0, problem: null });
    const sending = {
      file,
      url: item.url,
      chunkBytes: work.chunkBytes,
      partBytes: line.isClosedToParts
        ? null
        : partBytes(item.size, line.bytesPerSecond, line.atOnce, line.bodyBytesMax),
      mark: work.mark ?? "",
    };
    work.stop = send(sending, {
      onUrl: (url) => this.#exists(item, url),
      onVideo: (videoId) => {
        if (item.videoId === videoId) return;
        this.#set(item, { videoId });
        this.#follow();
      },
      onSent: (sent) => {
        const now = performance.now();
        work.pace.add(sent, now);
        const phase = sent >= item.size ? "finishing" : "uploading";
        const bytesPerSecond = work.pace.bytesPerSecond(now);
        this.#set(item, { sent: Math.max(item.sent, sent), phase, bytesPerSecond });
      },
      onAccepted: (accepted) => {
        if (accepted > work.accepted) work.failures = work.cuts = 0;
        work.accepted = accepted;
      },
      onChunk: (bytes) => {
        work.chunkBytes = bytes;
      },
      onDone: () => this.#done(item),
      onProblem: (problem, partBytes) => void this.#broken(item, problem, partBytes),
    });
  }

  #exists(item: Item, url: string): void {
    const work = this.#of(item);
    // Given up and taken again at once, the browser wouldn't find it free.
    work.release ??= resume.claim(url);
    if (item.url === url) return;
    this.#set(item, { url });
    const mark = this.#of(item).mark ?? "";
    resume.remember(url, { name: item.name, size: item.size, mark, at: Date.now() });
    if (item.handle) void resume.keepHandle(url, item.handle);
  }

  #done(item: Item): void {
    const work = this.#of(item);
    work.stop = null;
    this.#release(work);
    if (item.url) resume.forget(item.url);
    this.#set(item, { phase: "processing", sent: item.size, bytesPerSecond: 0, file: null });
    this.#follow();
    void this.#refresh(item);
    this.#pump();
  }

  async #broken(item: Item, problem: Problem, partBytes: number): Promise<void> {
    const work = this.#of(item);
    // A file that changed on disk looks to the network layer like a cut line.
    if (problem.status === 0 && item.file && !(await canRead(item.file, item.sent))) {
      if (this.#work.has(item.key)) this.#unreadable(item);
      return;
    }
    if (!this.#work.has(item.key) || !busy.includes(item.phase)) return;
    if (partBytes > 0 && isCut(problem.status)) work.cuts += 1;
    this.#interrupted(item, problem, partBytes);
  }

  /** Decides what a failed request means: wait and go on, ask the person, or give up. */
  #interrupted(item: Item, problem: Problem, partBytes = 0): void {
    const work = this.#of(item);
    work.stop = null;
    const { accepted, cuts, failures } = work;
    const { status, code } = problem;
    // What tus doesn't get through, nothing does.
    const isByTus = item.url ? !api.isInParts(item.url) : line.isClosedToParts;
    const way = isByTus ? null : detour({ status, code, partBytes, accepted, cuts, failures });
    if (way === "smaller" || way === "tus") {
      if (way === "tus") line.isClosedToParts = true;
      else line.refused(partBytes, status === 413);
      this.#beginAnew(item);
    } else if (code === "part-conflict") {
      this.#release(work);
      this.#refuseFile(item);
      this.#pump();
    } else if (status === 401) {
      const said = { title: words.upload.ended, detail: words.upload.endedDetail };
      this.#set(item, { phase: "paused", problem: said, bytesPerSecond: 0, loginNeeded: true });
      this.#pump();
    } else if ([404, 410].includes(status) && item.url && way === null) {
      resume.forget(item.url);
      this.#release(work);
      work.accepted = work.cuts = 0;
      this.#set(item, { url: null, videoId: null, sent: 0 });
      this.#fail(item, words.upload.gone, words.upload.goneDetail, item.file !== null);
    } else if (way === "wait" || isPassing(problem)) {
      work.failures += 1;
      const wait = backoffMs(work.failures, problem.retryAfterMs, Math.random());
      work.notBefore = Date.now() + (problem.retryAfterMs ?? 0);
      work.timer = window.setTimeout(() => this.#again(item), wait);
      this.#set(item, {
        phase: "retrying",
        bytesPerSecond: 0,
        problem: sayable(problem),
        retryAt: Date.now() + wait,
      });
    } else {
      this.#fail(item, problem.title, problem.detail, problem.retryable);
    }
  }

  /** Leaves an upload that can't get on, and begins another of the same file at once. */
  #beginAnew(item: Item): void {
    const work = this.#of(item);
    const { url } = item;
    if (url) {
      resume.forget(url);
      // If this doesn't get through either, the server ends it in time.
      void api.endUpload(url).catch(() => undefined);
    }
    this.#release(work);
    work.accepted = work.cuts = work.failures = 0;
    this.#set(item, { url: null, videoId: null, video: null });
    this.#follow();
    void this.#start(item);
  }

  #again(item: Item): void {
    if (item.phase !== "retrying") return;
    window.clearTimeout(this.#of(item).timer);
    void this.#start(item);
  }

  /** The network is back, or the person looks again: waiting longer helps nobody. */
  #retryNow(): void {
    for (const item of this.items) {
      if (Date.now() >= this.#of(item).notBefore) this.#again(item);
    }
  }

  #unreadable(item: Item): void {
    this.#halt(item);
    const said = { title: words.upload.unreadable, detail: words.upload.unreadableDetail };
    if (item.url) {
      this.#set(item, { phase: "unfinished", file: null, problem: said, bytesPerSecond: 0 });
    } else {
      this.#fail(item, said.title, said.detail, false);
    }
    this.#pump();
  }

  #fail(item: Item, title: string, detail: string, retryable: boolean): void {
    this.#set(item, { phase: "failed", problem: { title, detail }, retryable, bytesPerSecond: 0 });
    this.#pump();
  }

  #halt(item: Item): void {
    const work = this.#of(item);
    window.clearTimeout(work.timer);
    work.stop?.();
    work.stop = null;
  }

  #release(work: Work): void {
    work.release?.();
    work.release = null;
  }

  #heard(event: ServerEvent): void {
    if (!isOfVideo(event)) return;
    const item = this.items.find((one) => one.videoId === event.videoId);
    if (!item) return;
    // Null tells of a deletion: of our own cancelling, or the next request will find out.
    if (event.video === null) return;
    if (event.video) this.#apply(item, event.video);
    else if (event.type === "video.progress" && item.video) {
      this.#apply(item, withReport(item.video, event));
    } else void this.#refresh(item);
  }

  async #catchUp(): Promise<void> {
    for (const item of this.items) if (item.phase === "processing") await this.#refresh(item);
  }

  async #refresh(item: Item): Promise<void> {
    if (!item.videoId) return;
    try {
      this.#apply(item, await api.video(item.videoId));
    } catch {
      // The stream of events tells the same a moment later.
    }
  }

  #apply(item: Item, video: api.Video): void {
    const before = item.phase;
    this.#set(item, { video });
    if (before !== "processing") return;
    if (video.state === "ready") this.#set(item, { phase: "ready" });
    else if (video.state === "failed") {
      const error = video.error;
      this.#set(item, {
        phase: "failed",
        retryable: error?.retryable ?? true,
        problem: {
          title: error?.title ?? words.problem.unknown,
          detail: error ? api.explained(error) : "",
        },
      });
    }
    if (item.phase !== before) this.#follow();
  }

  #follow(): void {
    const ids = this.items
      .filter((item) => !["ready", "unfinished"].includes(item.phase))
      .flatMap((item) => (item.videoId ? [item.videoId] : []));
    this.#events.follow(ids.sort());
  }

  #of(item: Item): Work {
    const work = this.#work.get(item.key);
    if (!work) throw new Error("an item that was removed can't be worked on");
    return work;
  }

  #set(item: Item, change: Partial<Item>): void {
    Object.assign(item, change);
    this.#changed(item);
  }

  #changed(item: Item | null): void {
    for (const listener of this.#listeners) listener(item);
  }
}

/** Says whether waiting can help: no answer, a server in trouble, or one asking for a pause. */
function isPassing(problem: Problem): boolean {
  if (problem.retryable) return true;
  return problem.status === 0 || [408, 409, 423, 425, 429].includes(problem.status);
}

function sayable(problem: unknown): { title: string; detail: string } {
  return problem instanceof Problem
    ? { title: problem.title, detail: problem.detail }
    : { title: words.problem.unknown, detail: "" };
}

async function canRead(file: File, at: number): Promise<boolean> {
  try {
    await file.slice(Math.max(0, at - 1), at + 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
