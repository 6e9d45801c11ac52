/** Links with which anybody plays a private video for a time, and the end of all of them. */

import * as api from "../api";
import { openDialog } from "../details";
import { told } from "../trouble";
import * as units from "../units";
import { button, copy, h, show, text } from "../view";
import { words } from "../words";

const w = words.library.share;

/** For how long a link may be good, in seconds; the server's configuration may allow less. */
const SPANS = [3_600, 4 * 3_600, 86_400, 7 * 86_400];
const USUAL = 86_400;

/** Makes links for a video until the person has done. */
export async function shareLinks(video: api.Video): Promise<void> {
  const title = w.title(video.title || words.watch.untitled);
  const span = h("select", { name: "span", autofocus: true });
  for (const seconds of SPANS) {
    const isUsual = seconds === USUAL;
    span.append(h("option", { value: seconds, selected: isUsual }, units.span(seconds)));
  }
  const link = h("code");
  const shown = h("output", { class: "secret", "aria-label": w.link, hidden: true }, link);
  const copied = (it: HTMLButtonElement) => void copy(link.textContent ?? "", it);
  const looks = { class: "button primary", hidden: true };
  const copier = button("link", words.upload.copy, copied, looks);
  const problem = h("p", { class: "row-problem", role: "alert", hidden: true });
  const note = h("p", { class: "good", role: "status" });
  const attempt = async (act: () => Promise<void>) => {
    show(problem, false);
    text(note, "");
    try {
      await act();
    } catch (error) {
      text(problem, told(error));
      show(problem, true);
    }
  };
  const make = async () => {
    text(link, await api.playbackLink(video.id, Number(span.value)));
    show(shown, true);
    show(copier, true);
    copier.focus();
  };
  const end = async () => {
    await api.endPlaybackLinks(video.id);
    show(shown, false);
    show(copier, false);
    text(note, w.ended);
  };
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, title),
    h("p", { class: "muted" }, w.lead),
    h("label", {}, w.span, span),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "submit", class: "button" }, w.make),
      copier,
    ),
    shown,
    problem,
    note,
    h(
      "div",
      { class: "actions end" },
      button(null, w.end, () => void attempt(end), { class: "button quiet" }),
      h("button", { type: "button", class: "button", value: "cancel" }, words.library.dismiss),
    ),
  );
  await openDialog<never>(form, title, () => attempt(make));
}
