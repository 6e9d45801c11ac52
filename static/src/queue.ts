/**
 * The files of the upload page and what happens to each. The only place that changes an item;
 * views are told of every change and draw.
 */

import * as api from "./api";
import { Problem } from "./api";
import { busy, isAtHand, open, type Given, type Item } from "./item";
import { line } from "./line";
import { News } from "./news";
import { backoffMs, detour, isCut, maySetOut, partBytes } from "./plan";
import * as resume from "./resume";
import { sumAlong, type Summing } from "./sums";
import { Telling } from "./telling";
import { isSameFile, send } from "./transport";
import { canRead, isPassing, sayable } from "./trouble";
import * as units from "./units";
import { halt, newItem, newWork, release, type Work } from "./work";
import { words } from "./words";

export class Queue {
  readonly items: Item[] = [];
  #work = new Map<number, Work>();
  #listeners = new Set<(item: Item | null) => void>();
  #nextKey = 1;
  #isPumping = false;
  #limits = { maxSize: Number.POSITIVE_INFINITY, chunkSize: 8 << 20 };
  #session = "";
  readonly #telling = new Telling(
    (item, change) => this.#set(item, change),
    (item, video) => this.learn(item, video),
  );
  readonly #news = new News((item, video) => this.learn(item, video));

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

  /** New uploads belong to this session, and no others are shown. */
  setSession(session: string): void {
    this.#session = session;
  }

  /** Takes files in and returns those that are new; one that an unfinished upload waits for goes on there. */
  add(given: readonly Given[], details: api.Details = {}): Item[] {
    const { length } = this.items;
    const waiting = this.items.filter(({ phase }) => phase === "unfinished");
    for (const { file, handle } of given) {
      const known = waiting.find(
        (item) => item.phase === "unfinished" && item.name === file.name && item.size === file.size,
      );
      if (known) this.#adopt(known, file, handle, "lenient");
      else this.#addNew(file, handle, details);
    }
    this.#changed(null);
    this.#pump();
    return this.items.slice(length);
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

  /** Shows the server's unfinished uploads that no tab is sending; those that it can go on with go on. */
  async loadUnfinished(): Promise<void> {
    resume.prune(Date.now());
    const elsewhere = await resume.claimed();
    for (const partial of await api.partialUploads(this.#session)) {
      const url = resume.pathOf(partial.url);
      if (this.items.some((item) => item.url === url) || partial.size === null) continue;
      if (elsewhere.has(url)) {
        // It is shown here if that tab is closed before the end.
        void resume.released(url).then(() => this.loadUnfinished().catch(() => undefined));
        continue;
      }
      const item = this.#create(partial.filename, partial.size, null);
      item.url = url;
      item.videoId = partial.videoId;
      item.sent = partial.receivedBytes;
      item.phase = "unfinished";
      item.handle = await resume.handleOf(url);
      this.#of(item).accepted = partial.receivedBytes;
      const known = resume.recall(url)?.rests ? null : item.handle;
      const file = known ? await resume.openQuietly(known) : null;
      if (file && item.phase === "unfinished") this.give(item, file, item.handle);
    }
    this.#changed(null);
  }

  pause(item: Item): void {
    if (!busy.includes(item.phase) && item.phase !== "waiting") return;
    halt(this.#of(item));
    if (item.url) resume.rest(item.url, true);
    this.#set(item, { phase: "paused", bytesPerSecond: 0, retryAt: null, problem: null });
    this.#pump();
  }

  resume(item: Item): void {
    if (item.phase !== "paused" && item.phase !== "retrying") return;
    halt(this.#of(item));
    if (item.url) resume.rest(item.url, false);
    this.#set(item, { phase: "waiting", problem: null, retryAt: null, loginNeeded: false });
    this.#pump();
  }

  pauseAll(): void {
    for (const item of [...this.items].reverse()) this.pause(item);
  }

  /** Goes on with all that rests, also from an earlier visit where the browser has the files. */
  async resumeAll(): Promise<void> {
    const waiting = this.items.filter(isAtHand);
    for (const item of this.items) if (item.phase === "paused") this.resume(item);
    for (const item of waiting) {
      const file = item.handle && (await resume.open(item.handle));
      if (file && item.phase === "unfinished") this.give(item, file, item.handle);
    }
  }

  /** Tries again whatever failed and may be tried again. */
  retryAll(): void {
    for (const item of this.items) if (item.retryable) void this.retry(item);
  }

  /** Ends all uploads that haven't arrived, here and on the server. */
  async cancelAll(): Promise<void> {
    const going = this.items.filter(({ phase }) => open.includes(phase));
    // None of those that wait may begin in the place of one that ends.
    for (const item of going) halt(this.#of(item));
    for (const item of going) this.#set(item, { phase: "paused" });
    for (const item of going) await this.remove(item);
  }

  /** Whoever had to log in has: what waited for it goes on. */
  loggedIn(): void {
    for (const item of this.items) if (item.loginNeeded) this.resume(item);
  }

  /** Starts anew what failed: the upload, or the server's work on it. */
  async retry(item: Item): Promise<void> {
    if (item.phase !== "failed") return;
    if (item.video?.state === "failed") {
      try {
        await api.retryProcessing(item.video.id);
        this.#set(item, { phase: "processing", problem: null });
        this.#follow();
        void this.#news.refresh(item);
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
    const work = this.#of(item);
    halt(work);
    if (began && item.url && !arrived) {
      try {
        await api.endUpload(item.url);
      } catch (problem) {
        this.#set(item, { phase: "paused", problem: sayable(problem), bytesPerSecond: 0 });
        return;
      }
    }
    if (item.url) resume.forget(item.url);
    release(work);
    work.summing?.stop();
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    this.#work.delete(item.key);
    this.#changed(null);
    this.#follow();
    this.#pump();
  }

  /** Takes a newer description of the item's video. */
  learn(item: Item, video: api.Video): void {
    if (!this.#work.has(item.key)) return;
    this.#set(item, { video });
    if (item.phase !== "processing") return;
    if (video.state === "ready") this.#set(item, { phase: "ready", retryable: false });
    else if (video.state === "failed") {
      const { error } = video;
      this.#set(item, {
        phase: "failed",
        retryable: error?.retryable ?? true,
        problem: {
          title: error?.title ?? words.problem.unknown,
          detail: error ? api.explained(error) : "",
        },
      });
    } else return;
    this.#follow();
  }

  /** Says something of a video, or of one that is yet to come. Rejects if the server won't have it. */
  describe(item: Item, details: api.Details): Promise<void> {
    return this.#telling.describe(item, this.#of(item), details);
  }

  /** Chooses a video's picture, now or as soon as all of the film is there. */
  choosePoster(item: Item, choice: api.PosterChoice): Promise<void> {
    return this.#telling.choosePoster(item, choice);
  }

  clearFinished(): void {
    for (const item of this.items.filter((one) => one.phase === "ready")) void this.remove(item);
  }

  /** Bytes are on their way, so leaving the page would interrupt them. */
  get moving(): boolean {
    return this.items.some((item) => busy.includes(item.phase) || item.phase === "waiting");
  }

  #create(name: string, size: number, file: File | null): Item {
    const item = newItem(this.#nextKey++, name, size, file);
    this.#work.set(item.key, newWork(this.#limits.chunkSize));
    this.items.push(item);
    return item;
  }

  #addNew(file: File, handle: resume.Handle | null, details: api.Details): void {
    const item = this.#create(file.name, file.size, file);
    item.handle = handle;
    item.details = details;
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
    work.summing?.stop();
    work.summing = null;
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

  /** Begins what may begin, once for all that is changed in one go: a pause of thousands is one. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(() => {
      this.#isPumping = false;
      this.#setOut();
    });
  }

  #setOut(): void {
    const going = this.items.filter((item) => busy.includes(item.phase)).map(({ size }) => size);
    for (const item of this.items) {
      if (item.phase !== "waiting") continue;
      if (!maySetOut(item.size, going)) return;
      going.push(item.size);
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
      if (!halted && item.url && !(await this.#claim(item, item.url))) {
        if (!halted) this.#isElsewhere(item, item.url);
        return;
      }
      if (!halted && work.verify && item.url) {
        const same = await isSameFile(item.url, file, work.mark);
        if (halted) return;
        if (!same && work.verify === "lenient") {
          // Another file that happens to have the same name and size: an upload of its own.
          this.#set(item, { file: null, phase: "unfinished" });
          this.#addNew(file, item.handle, item.details);
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

  /** Takes the upload for this tab; says whether no other has it. */
  async #claim(item: Item, url: string): Promise<boolean> {
    const work = this.#of(item);
    // Given up and taken again at once, the browser wouldn't find it free.
    if (work.release) return true;
    const mine = await resume.claim(url);
    if (!mine) return false;
    if (work.release || item.url !== url || !this.#work.has(item.key)) mine();
    else work.release = mine;
    return true;
  }

  /** Another tab of this browser sends the file: it goes on here if that one stops. */
  #isElsewhere(item: Item, url: string): void {
    const problem = { title: words.upload.elsewhere, detail: words.upload.elsewhereDetail };
    this.#set(item, { phase: "unfinished", problem });
    this.#pump();
    void resume.released(url).then(() => {
      if (item.problem !== problem || !this.#work.has(item.key)) return;
      this.#set(item, { phase: "waiting", problem: null });
      this.#pump();
    });
  }

  #send(item: Item, file: File): void {
    const work = this.#of(item);
    work.pace.reset();
    this.#set(item, { phase: "uploading", bytesPerSecond: 0, problem: null });
    if (!item.url) work.told = item.details;
    const summing = (work.summing ??= this.#sumUp(item, file));
    const sending = {
      file,
      url: item.url,
      about: { ...item.details, ...(this.#session ? { sessionId: this.#session } : {}) },
      sum: summing.sum,
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
        void this.#telling.tellRest(item, this.#of(item));
      },
      onSent: (sent) => {
        const now = performance.now();
        work.pace.add(sent, now);
        summing.moved(sent);
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

  #sumUp(item: Item, file: File): Summing {
    const summing = sumAlong(file);
    void summing.sum.then((sum) => {
      if (this.#work.get(item.key)?.summing === summing) this.#set(item, { sum });
    });
    return summing;
  }

  #exists(item: Item, url: string): void {
    if (item.url === url) return;
    this.#set(item, { url });
    void this.#claim(item, url);
    const mark = this.#of(item).mark ?? "";
    resume.remember(url, { name: item.name, size: item.size, mark, at: Date.now() });
    if (item.handle) void resume.keepHandle(url, item.handle);
  }

  #done(item: Item): void {
    const work = this.#of(item);
    work.stop = null;
    release(work);
    work.summing?.moved(item.size);
    if (item.url) resume.forget(item.url);
    this.#set(item, { phase: "processing", sent: item.size, bytesPerSecond: 0 });
    this.#follow();
    void this.#news.refresh(item);
    void this.#telling.tellRest(item, this.#of(item));
    if (item.poster) void this.choosePoster(item, item.poster.choice);
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
    } else if (code === "checksum-mismatch" && partBytes === 0) {
      // All parts are as they were read, and the whole isn't: the file changed meanwhile.
      if (item.url) void api.endUpload(item.url).catch(() => undefined);
      this.#leave(item);
      this.#fail(item, words.upload.changed, words.upload.changedDetail, true);
    } else if (code === "part-conflict") {
      release(work);
      this.#refuseFile(item);
      this.#pump();
    } else if (status === 401) {
      const said = { title: words.upload.ended, detail: words.upload.endedDetail };
      this.#set(item, { phase: "paused", problem: said, bytesPerSecond: 0, loginNeeded: true });
      this.#pump();
    } else if ([404, 410].includes(status) && item.url && way === null) {
      this.#leave(item);
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
      // Room can be made, rights be given: only another kind of file it can't become.
      const retryable = problem.retryable || (item.file !== null && status !== 415);
      this.#fail(item, problem.title, problem.detail, retryable);
    }
  }

  /** Leaves an upload that can't get on, and begins another of the same file at once. */
  #beginAnew(item: Item): void {
    const work = this.#of(item);
    const { url, sent } = item;
    // If this doesn't get through either, the server ends it in time.
    if (url) void api.endUpload(url).catch(() => undefined);
    this.#leave(item);
    work.failures = 0;
    this.#set(item, { sent });
    void this.#start(item);
  }

  /** Forgets the upload of a file, which is to be sent anew. */
  #leave(item: Item): void {
    const work = this.#of(item);
    if (item.url) resume.forget(item.url);
    release(work);
    work.accepted = work.cuts = 0;
    work.mark = null;
    work.summing?.stop();
    work.summing = null;
    this.#set(item, { url: null, videoId: null, video: null, sent: 0, sum: null });
    this.#follow();
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
    halt(this.#of(item));
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

  #follow(): void {
    this.#news.follow(this.items);
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
