/**
 * The files of the upload page and what people do with them: whose turn it is, what rests, what
 * ends. Views are told of every change and draw.
 */

import * as api from "./api";
import { busy, isAtHand, open, type Given, type Item } from "./item";
import { News } from "./news";
import { maySetOut } from "./plan";
import * as resume from "./resume";
import { Sender } from "./sender";
import { Store } from "./store";
import { Telling } from "./telling";
import { sayable } from "./trouble";
import * as units from "./units";
import { halt, release } from "./work";
import { words } from "./words";

export class Queue {
  readonly #store = new Store();
  readonly items: readonly Item[] = this.#store.items;
  #isPumping = false;
  #limits = { maxSize: Number.POSITIVE_INFINITY, chunkSize: 8 << 20 };
  #session = "";
  readonly #telling = new Telling(
    (item, change) => this.#store.set(item, change),
    (item, video) => this.learn(item, video),
  );
  readonly #news = new News((item, video) => this.learn(item, video));
  readonly #sender = new Sender(this.#store, {
    session: () => this.#session,
    pump: () => this.#pump(),
    follow: () => this.#follow(),
    known: (item) => this.#known(item),
    arrived: (item) => this.#arrived(item),
    another: (item, file) => {
      this.#addNew(file, item.handle, item.details);
      this.#store.changed(null);
      this.#pump();
    },
  });

  constructor() {
    window.addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#retryNow();
    });
  }

  /** Calls `listener` after every change: with the item, or with null when the list changed. */
  onChange(listener: (item: Item | null) => void): void {
    this.#store.onChange(listener);
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
    this.#store.changed(null);
    this.#pump();
    return this.items.slice(length);
  }

  /** Goes on with an unfinished upload; another file is refused with a word about it. */
  give(item: Item, file: File, handle: resume.Handle | null): void {
    if (file.size !== item.size) {
      this.#sender.refuse(item);
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
      this.#store.of(item).accepted = partial.receivedBytes;
      const known = resume.recall(url)?.rests ? null : item.handle;
      const file = known ? await resume.openQuietly(known) : null;
      if (file && item.phase === "unfinished") this.give(item, file, item.handle);
    }
    this.#store.changed(null);
  }

  pause(item: Item): void {
    if (!busy.includes(item.phase) && item.phase !== "waiting") return;
    halt(this.#store.of(item));
    if (item.url) resume.rest(item.url, true);
    this.#store.set(item, { phase: "paused", bytesPerSecond: 0, retryAt: null, problem: null });
    this.#pump();
  }

  resume(item: Item): void {
    if (item.phase !== "paused" && item.phase !== "retrying") return;
    halt(this.#store.of(item));
    if (item.url) resume.rest(item.url, false);
    this.#store.set(item, { phase: "waiting", problem: null, retryAt: null, loginNeeded: false });
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
    for (const item of going) halt(this.#store.of(item));
    for (const item of going) this.#store.set(item, { phase: "paused" });
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
        this.#store.set(item, { phase: "processing", problem: null });
        this.#follow();
        void this.#news.refresh(item);
      } catch (problem) {
        this.#store.set(item, { problem: sayable(problem) });
      }
      return;
    }
    this.#store.of(item).failures = 0;
    this.#store.set(item, { phase: "waiting", problem: null });
    this.#pump();
  }

  /** Ends an upload here and on the server, or takes a finished row off the page. */
  async remove(item: Item): Promise<void> {
    const began = item.url !== null && item.phase !== "processing" && item.phase !== "ready";
    const arrived = item.video !== null && item.video.state !== "uploading";
    const work = this.#store.of(item);
    halt(work);
    if (began && item.url && !arrived) {
      try {
        await api.endUpload(item.url);
      } catch (problem) {
        this.#store.set(item, { phase: "paused", problem: sayable(problem), bytesPerSecond: 0 });
        return;
      }
    }
    if (item.url) resume.forget(item.url);
    release(work);
    work.summing?.stop();
    this.#store.drop(item);
    this.#follow();
    this.#pump();
  }

  /** Takes a newer description of the item's video. */
  learn(item: Item, video: api.Video): void {
    if (!this.#store.has(item)) return;
    this.#store.set(item, { video });
    if (item.phase !== "processing") return;
    if (video.state === "ready") this.#store.set(item, { phase: "ready", retryable: false });
    else if (video.state === "failed") {
      const { error } = video;
      this.#store.set(item, {
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
    return this.#telling.describe(item, this.#store.of(item), details);
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
    return this.#store.create(name, size, file, this.#limits.chunkSize);
  }

  #addNew(file: File, handle: resume.Handle | null, details: api.Details): void {
    const item = this.#create(file.name, file.size, file);
    item.handle = handle;
    item.details = details;
    if (file.size === 0) this.#sender.fail(item, words.upload.empty, words.upload.emptyDetail, false);
    else if (file.size > this.#limits.maxSize) {
      const detail = words.upload.tooBigDetail(units.size(this.#limits.maxSize));
      this.#sender.fail(item, words.upload.tooBig, detail, false);
    }
  }

  #adopt(item: Item, file: File, handle: resume.Handle | null, verify: "strict" | "lenient"): void {
    const work = this.#store.of(item);
    work.verify = verify;
    work.mark = null;
    work.failures = 0;
    work.summing?.stop();
    work.summing = null;
    this.#store.set(item, { file, handle: handle ?? item.handle, phase: "waiting", problem: null });
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
      void this.#sender.start(item);
    }
  }

  /** The network is back, or the person looks again: waiting longer helps nobody. */
  #retryNow(): void {
    for (const item of this.items) {
      if (Date.now() >= this.#store.of(item).notBefore) this.#sender.again(item);
    }
  }

  /** Its video is known: what becomes of it is heard, and what was said of it meanwhile is told. */
  #known(item: Item): void {
    this.#follow();
    void this.#telling.tellRest(item, this.#store.of(item));
  }

  #arrived(item: Item): void {
    this.#follow();
    void this.#news.refresh(item);
    void this.#telling.tellRest(item, this.#store.of(item));
    if (item.poster) void this.choosePoster(item, item.poster.choice);
    this.#pump();
  }

  #follow(): void {
    this.#news.follow(this.items);
  }
}
