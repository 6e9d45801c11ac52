/** Where files come in: dropped, pasted, chosen, out of folders, or from a phone's camera. */

import { fromDrop, fromFolder, fromList, holdsFiles, pick, picker } from "./files";
import type { Given } from "./item";
import { button, h, icon, show, text } from "./view";
import { words } from "./words";

const w = words.upload;

export class Zone {
  readonly element = h("section", { class: "zone", "aria-label": w.title });
  readonly #input = h("input", {
    type: "file",
    multiple: true,
    class: "unseen",
    tabindex: -1,
    "aria-label": w.chooser,
  });
  readonly #folder = h("input", { type: "file", webkitdirectory: true, hidden: true });
  readonly #camera = h("input", {
    type: "file",
    accept: "video/*",
    capture: "environment",
    hidden: true,
  });
  readonly #lead = h("h1");
  readonly #hint = h("p", { class: "hint" });
  readonly #left = h("p", { class: "row-problem", role: "alert", hidden: true });
  #usualLead = w.lead;

  /** `take` gets what comes in. */
  constructor(private readonly take: (given: Given[]) => void) {
    const touch = matchMedia("(pointer: coarse)").matches;
    const browse = button("upload", w.browse, () => void this.#browse(), {
      class: "button primary large",
    });
    const folder = button("folder", w.folder, () => this.#folder.click(), {
      class: "button large",
      hidden: touch || !("webkitdirectory" in this.#folder),
    });
    const camera = button("camera", w.camera, () => this.#camera.click(), {
      class: "button large",
      hidden: !touch,
    });
    this.element.append(
      h("span", { class: "zone-icon" }, icon("upload")),
      this.#lead,
      this.#hint,
      h("div", { class: "actions" }, browse, folder, camera),
      this.#input,
      this.#folder,
      this.#camera,
      this.#left,
      h("p", { class: "muted small" }, w.safe),
    );
    this.#input.addEventListener("change", () => this.#chosen(this.#input, fromList));
    this.#folder.addEventListener("change", () => this.#chosen(this.#folder, fromFolder));
    this.#camera.addEventListener("change", () => this.#chosen(this.#camera, fromList));
  }

  /** Takes what is dropped or pasted onto `target`, until `signal` ends it. */
  listen(target: Window | HTMLElement, signal: AbortSignal): void {
    const touch = matchMedia("(pointer: coarse)").matches;
    this.#usualLead = touch ? w.leadTouch : target instanceof Window ? w.lead : w.leadHere;
    let depth = 0;
    const mark = (on: boolean) => {
      this.element.classList.toggle("over", on);
      text(this.#lead, on ? w.drop : this.#usualLead);
    };
    mark(false);
    const on = (type: string, act: (data: DataTransfer) => void) =>
      target.addEventListener(
        type,
        (event) => {
          const { dataTransfer } = event as DragEvent;
          if (!dataTransfer || !holdsFiles(dataTransfer)) return;
          event.preventDefault();
          act(dataTransfer);
        },
        { signal },
      );
    on("dragenter", () => mark((depth += 1) > 0));
    on("dragleave", () => mark((depth = Math.max(0, depth - 1)) > 0));
    on("dragover", (data) => {
      data.dropEffect = "copy";
    });
    on("drop", (data) => {
      depth = 0;
      mark(false);
      void fromDrop(data).then(this.take);
    });
    target.addEventListener(
      "paste",
      (event) => {
        const files = (event as ClipboardEvent).clipboardData?.files;
        if (files?.length) this.take(fromList(files));
      },
      { signal },
    );
  }

  /** Only these kinds are offered. */
  accept(kinds: string, most: number): void {
    this.#input.accept = kinds;
    this.#input.multiple = most > 1;
  }

  hint(sentence: string): void {
    text(this.#hint, sentence);
  }

  /** Says what was left out; nothing is shown for an empty sentence. */
  leftOut(sentence: string): void {
    text(this.#left, sentence);
    show(this.#left, sentence !== "");
  }

  set isCompact(on: boolean) {
    this.element.classList.toggle("compact", on);
  }

  async #browse(): Promise<void> {
    // With a filter the old chooser is the better one: it knows all the ways to name kinds.
    if (!picker || this.#input.accept) this.#input.click();
    else this.take(await pick(picker, this.#input.multiple));
  }

  #chosen(input: HTMLInputElement, read: (files: FileList | null) => Given[]): void {
    this.take(read(input.files));
    input.value = "";
  }
}
