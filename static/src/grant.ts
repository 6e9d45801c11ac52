/**
 * `<slipway-grant>`: the page for somebody who was sent a link that is good for one upload. The
 * grant is behind the address's `#`, which no server is told.
 */

import * as api from "./api";
import { door } from "./door";
import type { UploadFile } from "./embed";
import { provide } from "./elements";
import { h, notice } from "./view";
import { words } from "./words";

const w = words.grant;

export class SlipwayGrant extends HTMLElement {
  connectedCallback(): void {
    // Another link in the same tab.
    window.addEventListener("hashchange", () => location.reload(), { once: true });
    void this.#begin();
  }

  async #begin(): Promise<void> {
    door.open(null, location.hash.slice(1));
    try {
      const { grant } = await api.session();
      if (!grant) this.#say("alert", w.over, w.overDetail);
      else if (!grant.used) this.#upload();
      else await this.#goOn();
    } catch (problem) {
      const { title, detail } = problem as api.Problem;
      this.#say("alert", title, detail);
    }
  }

  /** Its one upload was begun: it waits for its rest, or is here. */
  async #goOn(): Promise<void> {
    const arrived = await api.newestArrived();
    if (arrived === null) this.#upload();
    else await this.#arrived(arrived);
  }

  #upload(): void {
    const element = h("slipway-upload", { "max-files": "1" });
    element.addEventListener("slipway-ready", (event) => {
      const { videoId } = (event as CustomEvent<UploadFile>).detail;
      if (videoId !== null) void this.#show(videoId).catch(() => undefined);
    });
    this.replaceChildren(h("h1", {}, words.upload.title), element);
    void provide("slipway-upload");
  }

  async #arrived(videoId: string): Promise<void> {
    this.#say("check", w.used, w.usedDetail);
    await this.#show(videoId);
  }

  /** Shows the film to whoever brought it, unless nobody without a name here may see it. */
  async #show(videoId: string): Promise<void> {
    const video = await api.video(videoId);
    if (video.visibility === "private" || video.kind === "file" || !video.playable) return;
    // In a frame of its own: there it is played by nobody, as everybody may.
    const frame = document.createElement("iframe");
    frame.src = `/embed/${encodeURIComponent(videoId)}`;
    frame.title = video.title;
    frame.allow = "autoplay; fullscreen; picture-in-picture";
    this.append(frame);
  }

  #say(icon: Parameters<typeof notice>[0], title: string, detail: string): void {
    this.replaceChildren(notice(icon, title, detail));
  }
}
