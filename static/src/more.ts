/** What can be seen and said of a file beyond its line: words, picture, checksum. */

import * as api from "./api";
import type { Item } from "./item";
import type { Queue } from "./queue";
import { framesOf, type Frame } from "./still";
import { told } from "./trouble";
import * as units from "./units";
import { button, copy, focusIn, h, say, show, text } from "./view";
import { words } from "./words";

const w = words.upload;
const e = words.edit;

/** So many pictures of a local film are offered. */
const FRAMES = 6;

/** The fields that say what a video is, for one or for all. */
export class Fields {
  readonly title = h("input", { name: "title", maxlength: 200 });
  readonly description = h("textarea", { name: "description", rows: 3, maxlength: 5000 });
  readonly tags = h("input", { name: "tags", placeholder: w.tagsHint });
  readonly visibility = h("select", { name: "visibility" });

  /** `isForAll` leaves the title out, and lets who may watch stay as it is. */
  constructor(private readonly isForAll: boolean) {
    if (isForAll) this.visibility.append(h("option", { value: "" }, w.unchanged));
    for (const [value, name] of Object.entries(e.visibilities)) {
      this.visibility.append(h("option", { value }, name));
    }
  }

  get labels(): HTMLElement[] {
    const title = h("label", { class: "wide" }, e.name, this.title);
    return [
      ...(this.isForAll ? [] : [title]),
      h("label", { class: "wide" }, e.description, this.description),
      h("label", {}, w.tags, this.tags),
      h("label", {}, e.visibility, this.visibility),
    ];
  }

  show({ title, description, tags, visibility }: api.Details): void {
    this.title.value = title ?? "";
    this.description.value = description ?? "";
    this.tags.value = (tags ?? []).join(", ");
    if (visibility) this.visibility.value = visibility;
  }

  /** Returns what differs from `before`; of a form for all what isn't empty. */
  changes(before: api.Details): api.Details {
    const tags = this.tags.value
      .split(/[,،，、]/)
      .map((tag) => tag.trim())
      .filter(Boolean);
    const said: api.Details = {};
    const title = this.title.value.trim();
    if (title && title !== before.title) said.title = title;
    if (this.description.value !== (before.description ?? "")) {
      said.description = this.description.value;
    }
    if (tags.join() !== (before.tags ?? []).join()) said.tags = tags;
    const visibility = this.visibility.value as api.Visibility | "";
    if (visibility && visibility !== before.visibility) said.visibility = visibility;
    return said;
  }
}

export class More {
  readonly element = h("div", { class: "more", hidden: true });
  #fields = new Fields(false);
  #said = h("p", { class: "small muted", role: "status" });
  #problem = h("p", { class: "row-problem wide", role: "alert", hidden: true });
  #stills = h("div", { class: "stills" });
  #pictureSaid = h("p", { class: "small muted" });
  #picture = h("input", {
    type: "file",
    accept: "image/jpeg,image/png,image/webp",
    class: "unseen",
    tabindex: -1,
  });
  #moment = button("film", w.pictureNow, () => this.#chooseMoment(), { class: "button small" });
  #sum = h("code", { class: "sum" });
  #sumSaid = h("span", { class: "small muted" });
  #sumCopy = button("link", w.sumCopy, (it) => void copy(this.item.sum ?? "", it), {
    class: "button small",
  });
  /** What the fields were filled with. */
  #before: api.Details = {};
  #stillsOf = "";
  #hasLooked = false;

  constructor(
    private readonly item: Item,
    private readonly queue: Queue,
    private readonly playing: () => number | null,
  ) {
    const form = h(
      "form",
      { class: "fields", "aria-label": words.labelled(w.details, item.name) },
      ...this.#fields.labels,
      this.#problem,
      h(
        "div",
        { class: "actions wide" },
        h("button", { type: "submit", class: "button primary" }, w.save),
        this.#said,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
    // What is written now isn't saved yet.
    form.addEventListener("input", () => text(this.#said, ""));
    this.#picture.addEventListener("change", () => {
      const file = this.#picture.files?.[0];
      this.#picture.value = "";
      if (file) void this.queue.choosePoster(this.item, file);
    });
    this.#picture.setAttribute("aria-label", words.labelled(w.pictureFile, item.name));
    const own = button("upload", w.pictureOwn, () => this.#picture.click(), {
      class: "button small",
    });
    this.element.append(
      form,
      h(
        "fieldset",
        {},
        h("legend", {}, w.picture),
        this.#stills,
        h("div", { class: "actions" }, own, this.#moment, this.#picture),
        this.#pictureSaid,
      ),
      h("p", { class: "sum-line" }, h("span", {}, w.sum), this.#sum, this.#sumCopy, this.#sumSaid),
    );
  }

  /** It was opened: what others may have changed meanwhile is fetched. */
  open(): void {
    this.#fill();
    this.draw();
    this.#fields.title.focus();
    void this.#loadFrames();
    const { item } = this;
    if (!item.videoId || item.video) return;
    api.video(item.videoId).then(
      (video) => this.queue.learn(item, video),
      () => undefined,
    );
  }

  draw(): void {
    if (this.element.hidden) return;
    // Nobody's words are overwritten while they are being written.
    if (!focusIn(this.element) && !this.#isChanged) this.#fill();
    this.#drawPicture();
    this.#drawSum();
  }

  get #isChanged(): boolean {
    return Object.keys(this.#fields.changes(this.#before)).length > 0;
  }

  #fill(): void {
    const { item } = this;
    const { title, description, tags, visibility } = item.video ?? {};
    this.#before = {
      title: title ?? item.name.replace(/\.[^.]+$/, ""),
      description: description ?? "",
      tags: tags ?? [],
      ...(visibility ? { visibility } : {}),
      ...item.details,
    };
    this.#fields.show(this.#before);
  }

  async #save(): Promise<void> {
    const { item } = this;
    this.#problem.hidden = true;
    try {
      await this.queue.describe(item, this.#fields.changes(this.#before));
      this.#fill();
      text(this.#said, item.videoId ? w.saved : words.sentences(w.saved, w.savedLater));
    } catch (error) {
      text(this.#problem, told(error));
      this.#problem.hidden = false;
    }
  }

  #drawPicture(): void {
    const { item } = this;
    const { video } = item;
    // Looked for whenever the work has come further, as nobody tells when they are made.
    const steps = video?.processing?.stages.map(({ state }) => state).join();
    const seconds = Math.floor(video?.playback?.playableSeconds ?? 0);
    const wanted = `${item.videoId} ${video?.state} ${steps} ${seconds}`;
    if (item.videoId && video && wanted !== this.#stillsOf) {
      this.#stillsOf = wanted;
      void this.#loadStills(item.videoId);
    }
    show(this.#moment, this.playing() !== null);
    const { poster } = item;
    const made = video?.posterChoice?.state;
    if (poster?.problem) {
      text(this.#pictureSaid, words.sentences(poster.problem.title, poster.problem.detail));
    } else if (poster) text(this.#pictureSaid, w.picturePending);
    else if (made === "pending") text(this.#pictureSaid, w.pictureMaking);
    else if (made === "set") text(this.#pictureSaid, w.pictureSet);
    else text(this.#pictureSaid, this.#stills.childElementCount > 0 ? "" : w.pictureNone);
  }

  async #loadStills(id: string): Promise<void> {
    const found = await api.stills(id).catch(() => []);
    this.#offer(
      found.flatMap(({ url, time }) => (typeof time === "number" ? [{ url, time }] : [])),
    );
  }

  /** While the server has none, the film that is here has pictures, too. */
  async #loadFrames(): Promise<void> {
    const { file } = this.item;
    if (this.#hasLooked || !file || this.#stills.childElementCount > 0) return;
    this.#hasLooked = true;
    this.#offer(await framesOf(file, FRAMES));
  }

  /** Offers pictures to choose from, once: what somebody looks at isn't taken away. */
  #offer(frames: readonly Frame[]): void {
    if (frames.length === 0 || this.#stills.childElementCount > 0) return;
    this.#stills.replaceChildren(
      ...frames.map(({ url, time }) => {
        const image = h("img", { src: url, alt: "", loading: "lazy" });
        const label = w.pictureAt(units.clock(time));
        const still = h("button", { type: "button", "aria-label": label }, image);
        still.addEventListener("click", () => this.#choose(still, time));
        return still;
      }),
    );
    this.draw();
  }

  #choose(still: HTMLButtonElement | null, time: number): void {
    for (const one of this.#stills.children) {
      one.setAttribute("aria-pressed", String(one === still));
    }
    void this.queue.choosePoster(this.item, { time }).then(() => {
      if (!this.item.poster) say(w.pictureSet);
    });
  }

  #chooseMoment(): void {
    const time = this.playing();
    if (time !== null) this.#choose(null, time);
  }

  #drawSum(): void {
    const { sum, video } = this.item;
    text(this.#sum, sum ?? "");
    show(this.#sum, sum !== null);
    show(this.#sumCopy, sum !== null);
    const theirs = video?.sha256;
    const compared = theirs ? (theirs === sum ? w.sumSame : w.sumOther) : "";
    text(this.#sumSaid, sum === null ? w.sumLater : compared);
  }
}
