/**
 * `<slipway-upload>`: takes files in and shows what becomes of them, on the server's own page and on
 * any other site's, where it keeps its looks to itself. docs/EMBEDDING.md tells what it can do there.
 */

import * as api from "./api";
import { door, isOurs } from "./door";
import type { UploadFile, UploadProgress, UploadProblem } from "./embed";
import { Favicon } from "./favicon";
import { sift, type Rules } from "./files";
import { open, type Given, type Item, type Phase } from "./item";
import { Overall, sumOf } from "./overall";
import { Queue } from "./queue";
import { Rows } from "./rows";
import * as units from "./units";
import { firstControl, keepFocus, notice, say, stayIn } from "./view";
import { words } from "./words";
import { Zone } from "./zone";

const w = words.upload;

/** With more than so many, not each file's end is said aloud. */
const SAID_MAX = 10;

export class SlipwayUpload extends HTMLElement {
  static readonly observedAttributes = ["token", "accept", "max-files", "theme"];

  #queue = new Queue();
  #dirty = new Set<Item>();
  #phases = new Map<Item, Phase>();
  #frame = 0;
  /** Draws a hidden tab, where no frames come. */
  #timer = 0;
  /** Files came or went since it was drawn. */
  #isOther = false;
  #title = document.title;
  #favicon = isOurs ? new Favicon() : null;
  #wake: WakeLockSentinel | null = null;
  #root: HTMLElement | ShadowRoot = this;
  #isBuilt = false;
  #connection = new AbortController();
  /** What files that are yet to come are to get. */
  #later: api.Details = {};

  readonly #zone = new Zone((given) => this.#take(given));
  readonly #rows = new Rows(this.#queue);
  readonly #overall = new Overall(this.#queue, (details) => {
    this.#later = { ...this.#later, ...details };
  });

  connectedCallback(): void {
    if (!this.#isBuilt) this.#build();
    this.#connection = new AbortController();
    const { signal } = this.#connection;
    this.#zone.listen(isOurs ? window : this, signal);
    this.#rows.listen(signal);
  }

  disconnectedCallback(): void {
    this.#connection.abort();
  }

  attributeChangedCallback(name: string): void {
    if (!this.#isBuilt) return;
    if (name === "token") this.#newToken();
    else if (name === "theme") void this.#dress();
    else this.#applyRules();
  }

  /** Takes files in, as if they had been dropped. */
  addFiles(files: Iterable<File>): void {
    this.#take([...files].map((file) => ({ file, handle: null })));
  }

  pause(): void {
    this.#queue.pauseAll();
  }

  resume(): void {
    void this.#queue.resumeAll();
  }

  /** Ends all uploads that haven't arrived, here and on the server. */
  cancel(): Promise<void> {
    return this.#queue.cancelAll();
  }

  /** The files in the list, as they are now. */
  get files(): UploadFile[] {
    return this.#queue.items.map(described);
  }

  #build(): void {
    this.#isBuilt = true;
    if (!isOurs) {
      door.open(this.getAttribute("endpoint"), this.getAttribute("token"));
      const root = this.attachShadow({ mode: "open" });
      this.#root = root;
      stayIn(root);
      void this.#dress();
    }
    this.#show();
    this.#applyRules();
    this.#queue.setSession(this.getAttribute("session") ?? "");
    this.#queue.onChange((item) => this.#changed(item));
    window.addEventListener("beforeunload", (event) => {
      if (this.#queue.moving) event.preventDefault();
    });
    void this.#begin();
  }

  #show(): void {
    const parts = [this.#zone.element, this.#overall.element, this.#rows.element];
    this.#root.replaceChildren(...parts);
  }

  /** Puts the element's own looks on, light or dark as the page around it is. */
  async #dress(): Promise<void> {
    const root = this.#root;
    if (!(root instanceof ShadowRoot)) return;
    const { light, dark } = await import("./looks");
    const { colorScheme } = getComputedStyle(document.documentElement);
    const pageIsDark =
      colorScheme.includes("dark") &&
      (!colorScheme.includes("light") || matchMedia("(prefers-color-scheme: dark)").matches);
    const theme = this.getAttribute("theme") ?? (pageIsDark ? "dark" : "light");
    root.adoptedStyleSheets = theme === "dark" ? [light, dark] : [light];
  }

  get #rules(): Rules {
    const most = Number(this.getAttribute("max-files") ?? "");
    return {
      accept: this.getAttribute("accept") ?? "",
      most: most > 0 ? most : Number.POSITIVE_INFINITY,
    };
  }

  #applyRules(): void {
    const { accept, most } = this.#rules;
    this.#zone.accept(accept, most);
  }

  async #begin(): Promise<void> {
    try {
      const session = await api.session();
      const isLocked = session.role === null && !isOurs;
      if (isLocked) this.#tell("slipway-unauthorized");
      if (isLocked && this.#queue.items.length > 0) return;
      if (isLocked || session.role === "viewer") {
        const [title, detail] = isLocked ? [w.locked, w.lockedDetail] : [w.viewer, w.viewerDetail];
        this.#root.replaceChildren(notice("alert", title, detail));
        return;
      }
      this.#show();
      this.#queue.setLimits(session.limits);
      this.#zone.hint(w.hint(units.size(session.limits.maxSize)));
      await this.#queue.loadUnfinished();
    } catch {
      // The list of unfinished uploads is a comfort; new files can be taken without it.
    }
  }

  /** The page has access again, or as somebody else: what waited for it goes on. */
  #newToken(): void {
    if (isOurs) return;
    door.open(this.getAttribute("endpoint"), this.getAttribute("token"));
    api.forgetSession();
    void this.#begin();
    this.#queue.loggedIn();
  }

  #take(given: readonly Given[]): void {
    if (given.length === 0) return;
    const rules = this.#rules;
    const [taken, left] = sift(given, rules, this.#queue.items.length);
    this.#zone.leftOut(left.length > 0 ? whyLeft(left, rules) : "");
    if (taken.length === 0) return;
    const items = this.#queue.add(taken, this.#later);
    for (const item of items) {
      this.#phases.set(item, item.phase);
      this.#tell("slipway-added", described(item));
    }
    say(words.say.added(taken.length));
  }

  /** Collects changes and draws them once a frame: progress comes faster than eyes. */
  #changed(item: Item | null): void {
    if (item) this.#dirty.add(item);
    else this.#isOther = true;
    if (item) this.#notePhase(item);
    // A hidden tab draws no frames, yet its title should go on counting.
    if (document.visibilityState === "hidden") this.#timer ||= window.setTimeout(() => this.#draw());
    else this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #arrange(): void {
    const { items } = this.#queue;
    const arrange = () => this.#rows.arrange(items);
    void keepFocus(this.#rows.element, arrange, () => firstControl(this.#zone.element));
    this.#zone.isCompact = items.length > 0;
    const present = new Set(items);
    for (const item of this.#phases.keys()) {
      if (present.has(item)) continue;
      this.#phases.delete(item);
      this.#tell("slipway-removed", described(item));
    }
    for (const item of items) if (!this.#phases.has(item)) this.#phases.set(item, item.phase);
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    window.clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
    if (this.#isOther) this.#arrange();
    this.#isOther = false;
    this.#rows.draw(this.#dirty);
    this.#dirty.clear();
    const { items } = this.#queue;
    const sum = sumOf(items);
    void keepFocus(
      this.#overall.element,
      () => this.#overall.draw(items, sum),
      () => firstControl(this.#overall.element),
      () => firstControl(this.#rows.element),
      () => firstControl(this.#zone.element),
    );
    const { files, done, sent, total } = sum;
    const isMoving = files > 0 && done < files;
    const share = total > 0 ? sent / total : 0;
    if (isOurs) {
      document.title = isMoving ? units.facts(units.share(share), this.#title) : this.#title;
      this.#favicon?.draw(isMoving ? share : null);
    }
    if (files > 0) this.#tell("slipway-progress", { sent, total, files, done });
    void this.#stayAwake();
  }

  /** Says aloud, and to the page around, what has become of a file. */
  #notePhase(item: Item): void {
    const before = this.#phases.get(item);
    this.#phases.set(item, item.phase);
    if (before === undefined || before === item.phase) return;
    const isSaid = this.#queue.items.length <= SAID_MAX;
    if (item.phase === "processing" && before !== "failed") {
      if (isSaid) say(words.say.uploaded(item.name));
      this.#tell("slipway-uploaded", described(item));
    } else if (item.phase === "ready") {
      if (isSaid) say(words.say.ready(item.name));
      this.#tell("slipway-ready", described(item));
    } else if (item.phase === "failed") {
      say(words.say.failed(item.name, item.problem?.title ?? ""));
      this.#tell("slipway-failed", { ...described(item), ...item.problem });
    } else if (item.phase === "paused" && item.loginNeeded) this.#tell("slipway-unauthorized");
  }

  #tell(
    type: string,
    detail?: UploadFile | UploadProgress | (UploadFile & Partial<UploadProblem>),
  ): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** Keeps the screen on while bytes move: a phone that sleeps stops uploading. */
  async #stayAwake(): Promise<void> {
    const wanted = this.#queue.moving && document.visibilityState === "visible";
    if (wanted === (this.#wake !== null) || !("wakeLock" in navigator)) return;
    try {
      if (!wanted) {
        const held = this.#wake;
        this.#wake = null;
        await held?.release();
        return;
      }
      const held = await navigator.wakeLock.request("screen");
      this.#wake = held;
      held.addEventListener("release", () => {
        if (this.#wake === held) this.#wake = null;
      });
    } catch {
      // Low battery or a policy: the upload goes on as long as the device does.
    }
  }
}

function whyLeft(left: readonly Given[], { accept, most }: Rules): string {
  const [byKind] = sift(left, { accept, most: Number.POSITIVE_INFINITY }, 0);
  const reasons = [
    ...(byKind.length < left.length ? [w.kinds(accept)] : []),
    ...(byKind.length > 0 ? [w.atMost(most)] : []),
  ];
  return words.sentences(w.leftOut(left.length), ...reasons);
}

/** Returns what the page around is told of a file. */
function described({ key, name, size, sent, phase, videoId, sum }: Item): UploadFile {
  const state = open.includes(phase) ? (phase === "paused" ? "paused" : "uploading") : phase;
  return { id: key, name, size, sent, state: state as UploadFile["state"], videoId, sha256: sum };
}
