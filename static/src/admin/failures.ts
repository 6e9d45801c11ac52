/** What went wrong for good: why, what helps, and another try of all or of one stage. */

import type { Video } from "../api";
import { type Around, Section } from "../board/section";
import { buttons, cell, Moment, type Row, Table } from "../board/table";
import type { ServerEvent } from "../events";
import { h, say, show, text } from "../view";
import { stageWord, words } from "../words";
import * as api from "./api";
import { videoCell } from "./owners";

const w = words.admin;
/** Stages that can be made anew by themselves. */
const STAGES = ["poster", "renditions", "storyboard", "captions"];

type Failed = Video & { owner?: string };

export class Failures extends Section {
  #videos: Failed[] = [];
  readonly #all = this.action("retry", w.failures.retryAll, () => this.#retryAll(), {
    class: "button small",
    hidden: true,
  });
  readonly #more = h("p", { class: "muted small", hidden: true }, w.failures.more);
  readonly #table = new Table<Failed>(
    w.failures.title,
    [w.video, w.failures.reason, w.failures.helps, w.when, w.actions],
    w.failures.none,
    (video) => video.id,
    (video) => this.#row(video),
  );

  constructor(around: Around) {
    super("failures", w.failures.title, around, 15_000);
    this.tools.append(this.#all);
    this.element.append(this.#table.element, this.#more);
  }

  protected async look(): Promise<void> {
    const { items, nextCursor } = await api.failed();
    this.#videos = items;
    this.#table.draw(items);
    show(this.#more, nextCursor !== null);
    show(this.#all, items.filter(canRetry).length > 1);
  }

  override hears(event: ServerEvent): boolean {
    return event.type === "video.failed" || event.type === "video.state";
  }

  async #retryAll(): Promise<void> {
    const all = this.#videos.filter(canRetry);
    for (const video of all) await api.retry(video.id, "");
    say(w.failures.retried(all.length));
  }

  #row(first: Failed): Row<Failed> {
    const name = videoCell();
    const when = new Moment();
    const [title, detail, advice] = [h("strong"), h("span", { class: "small muted" }), cell()];
    const what = h(
      "select",
      { class: "small" },
      h("option", { value: "" }, w.failures.missing),
      ...STAGES.map((stage) => h("option", { value: stage }, w.failures.anew(stageWord(stage)))),
    );
    const again = this.action(
      "retry",
      w.retry,
      async () => {
        await api.retry(first.id, what.value);
        say(w.failures.retried(1));
      },
      { class: "button small" },
    );
    const acts = buttons(what, again);
    const draw = (video: Failed) => {
      name.draw(video.id, video.title, video.owner);
      text(title, video.error?.title ?? w.failures.unknown);
      text(detail, video.error?.detail ?? "");
      text(advice, video.error?.advice ?? "");
      when.draw(failedAt(video));
      what.setAttribute("aria-label", words.labelled(w.failures.what, video.title));
      again.setAttribute("aria-label", words.labelled(w.retry, video.title));
      show(what, canRetry(video));
      show(again, canRetry(video));
    };
    const reason = h("td", { class: "reason" }, title, detail);
    advice.classList.add("reason");
    return { cells: [name.cell, reason, advice, cell(when.element), acts], draw };
  }
}

function canRetry(video: Failed): boolean {
  return video.error?.retryable !== false || video.error.code === "cancelled";
}

/** When the last stage of a video's work ended, as nothing else tells when it failed. */
function failedAt(video: Failed): string | undefined {
  const ended = video.processing?.stages.map((stage) => stage.finishedAt ?? "") ?? [];
  return ended.sort().at(-1) || video.createdAt;
}
