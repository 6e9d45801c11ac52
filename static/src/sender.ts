/**
 * The way of a file to the server, from its turn to its arrival: what is looked at first, what is
 * noted meanwhile, and what an interruption means.
 */

import * as api from "./api";
import { Problem } from "./api";
import { busy, type Item } from "./item";
import { line } from "./line";
import { backoffMs, detour, isCut, partBytes } from "./plan";
import * as resume from "./resume";
import type { Store } from "./store";
import { sumAlong, type Summing } from "./sums";
import { isSameFile, send } from "./transport";
import { canRead, isPassing, sayable } from "./trouble";
import { words } from "./words";
import { halt, release } from "./work";

/** Who hears of what happens on the way. */
export interface Around {
  /** New uploads belong to this session, if it is named. */
  session(): string;
  /** Others may begin. */
  pump(): void;
  /** Other videos are to be followed than before. */
  follow(): void;
  /** The server has told which video the file is. */
  known(item: Item): void;
  /** All of the file is with the server. */
  arrived(item: Item): void;
  /** A file that was given for an unfinished upload is another one. */
  another(item: Item, file: File): void;
}

export class Sender {
  constructor(
    private readonly store: Store,
    private readonly around: Around,
  ) {}

  /** Begins or goes on with a file whose turn it is. */
  async start(item: Item): Promise<void> {
    const work = this.store.of(item);
    const file = item.file;
    if (!file) return;
    let halted = false;
    work.stop = () => {
      halted = true;
    };
    this.store.set(item, { phase: "checking", retryAt: null });
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
          this.store.set(item, { file: null, phase: "unfinished" });
          this.around.another(item, file);
          return;
        }
        if (!same) {
          this.refuse(item);
          this.around.pump();
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
    const work = this.store.of(item);
    // Given up and taken again at once, the browser wouldn't find it free.
    if (work.release) return true;
    const mine = await resume.claim(url);
    if (!mine) return false;
    if (work.release || item.url !== url || !this.store.has(item)) mine();
    else work.release = mine;
    return true;
  }

  /** Another tab of this browser sends the file: it goes on here if that one stops. */
  #isElsewhere(item: Item, url: string): void {
    const problem = { title: words.upload.elsewhere, detail: words.upload.elsewhereDetail };
    this.store.set(item, { phase: "unfinished", problem });
    this.around.pump();
    void resume.released(url).then(() => {
      if (item.problem !== problem || !this.store.has(item)) return;
      this.store.set(item, { phase: "waiting", problem: null });
      this.around.pump();
    });
  }

  #send(item: Item, file: File): void {
    const work = this.store.of(item);
    work.pace.reset();
    this.store.set(item, { phase: "uploading", bytesPerSecond: 0, problem: null });
    if (!item.url) work.told = item.details;
    const session = this.around.session();
    const summing = (work.summing ??= this.#sumUp(item, file));
    const sending = {
      file,
      url: item.url,
      about: { ...item.details, ...(session ? { sessionId: session } : {}) },
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
        this.store.set(item, { videoId });
        this.around.known(item);
      },
      onSent: (sent) => {
        const now = performance.now();
        work.pace.add(sent, now);
        summing.moved(sent);
        const phase = sent >= item.size ? "finishing" : "uploading";
        const bytesPerSecond = work.pace.bytesPerSecond(now);
        this.store.set(item, { sent: Math.max(item.sent, sent), phase, bytesPerSecond });
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
      if (!this.store.has(item) || this.store.of(item).summing !== summing) return;
      this.store.set(item, { sum });
    });
    return summing;
  }

  #exists(item: Item, url: string): void {
    if (item.url === url) return;
    this.store.set(item, { url });
    void this.#claim(item, url);
    const mark = this.store.of(item).mark ?? "";
    resume.remember(url, { name: item.name, size: item.size, mark, at: Date.now() });
    if (item.handle) void resume.keepHandle(url, item.handle);
  }

  #done(item: Item): void {
    const work = this.store.of(item);
    work.stop = null;
    release(work);
    work.summing?.moved(item.size);
    if (item.url) resume.forget(item.url);
    this.store.set(item, { phase: "processing", sent: item.size, bytesPerSecond: 0 });
    this.around.arrived(item);
  }

  async #broken(item: Item, problem: Problem, partBytes: number): Promise<void> {
    const work = this.store.of(item);
    // A file that changed on disk looks to the network layer like a cut line.
    if (problem.status === 0 && item.file && !(await canRead(item.file, item.sent))) {
      if (this.store.has(item)) this.#unreadable(item);
      return;
    }
    if (!this.store.has(item) || !busy.includes(item.phase)) return;
    if (partBytes > 0 && isCut(problem.status)) work.cuts += 1;
    this.#interrupted(item, problem, partBytes);
  }

  /** Decides what a failed request means: wait and go on, ask the person, or give up. */
  #interrupted(item: Item, problem: Problem, partBytes = 0): void {
    const work = this.store.of(item);
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
      this.fail(item, words.upload.changed, words.upload.changedDetail, true);
    } else if (code === "part-conflict") {
      release(work);
      this.refuse(item);
      this.around.pump();
    } else if (status === 401) {
      const said = { title: words.upload.ended, detail: words.upload.endedDetail };
      const change = { problem: said, bytesPerSecond: 0, loginNeeded: true };
      this.store.set(item, { phase: "paused", ...change });
      this.around.pump();
    } else if ([404, 410].includes(status) && item.url && way === null) {
      this.#leave(item);
      this.fail(item, words.upload.gone, words.upload.goneDetail, item.file !== null);
    } else if (way === "wait" || isPassing(problem)) {
      work.failures += 1;
      const wait = backoffMs(work.failures, problem.retryAfterMs, Math.random());
      work.notBefore = Date.now() + (problem.retryAfterMs ?? 0);
      work.timer = window.setTimeout(() => this.again(item), wait);
      this.store.set(item, {
        phase: "retrying",
        bytesPerSecond: 0,
        problem: sayable(problem),
        retryAt: Date.now() + wait,
      });
    } else {
      // Room can be made, rights be given: only another kind of file it can't become.
      const retryable = problem.retryable || (item.file !== null && status !== 415);
      this.fail(item, problem.title, problem.detail, retryable);
    }
  }

  /** Leaves an upload that can't get on, and begins another of the same file at once. */
  #beginAnew(item: Item): void {
    const work = this.store.of(item);
    const { url, sent } = item;
    // If this doesn't get through either, the server ends it in time.
    if (url) void api.endUpload(url).catch(() => undefined);
    this.#leave(item);
    work.failures = 0;
    this.store.set(item, { sent });
    void this.start(item);
  }

  /** Forgets the upload of a file, which is to be sent anew. */
  #leave(item: Item): void {
    const work = this.store.of(item);
    if (item.url) resume.forget(item.url);
    release(work);
    work.accepted = work.cuts = 0;
    work.mark = null;
    work.summing?.stop();
    work.summing = null;
    this.store.set(item, { url: null, videoId: null, video: null, sent: 0, sum: null });
    this.around.follow();
  }

  again(item: Item): void {
    if (item.phase !== "retrying") return;
    window.clearTimeout(this.store.of(item).timer);
    void this.start(item);
  }

  #unreadable(item: Item): void {
    halt(this.store.of(item));
    const said = { title: words.upload.unreadable, detail: words.upload.unreadableDetail };
    if (item.url) {
      this.store.set(item, { phase: "unfinished", file: null, problem: said, bytesPerSecond: 0 });
    } else {
      this.fail(item, said.title, said.detail, false);
    }
    this.around.pump();
  }

  refuse(item: Item): void {
    this.store.set(item, {
      file: null,
      phase: "unfinished",
      problem: {
        title: words.upload.mismatch,
        detail: words.upload.mismatchDetail(item.name),
      },
    });
  }

  fail(item: Item, title: string, detail: string, retryable: boolean): void {
    const problem = { title, detail };
    this.store.set(item, { phase: "failed", problem, retryable, bytesPerSecond: 0 });
    this.around.pump();
  }
}
