/** What the server makes of the files that have arrived, or are on their way, as it tells it. */

import * as api from "./api";
import { Events, isOfVideo, type ServerEvent } from "./events";
import type { Item } from "./item";
import { withReport } from "./progress";

export class News {
  #byVideo = new Map<string, Item>();
  readonly #events = new Events(
    { onEvent: (event) => this.#heard(event), onOpen: () => void this.#catchUp() },
    [],
  );

  /** `apply` takes each newer description of an item's video. */
  constructor(private readonly apply: (item: Item, video: api.Video) => void) {}

  /** Listens for what becomes of these. */
  follow(items: readonly Item[]): void {
    const followed = items.filter(({ phase }) => phase !== "ready" && phase !== "unfinished");
    this.#byVideo = new Map(followed.flatMap((it) => (it.videoId ? [[it.videoId, it]] : [])));
    this.#events.follow([...this.#byVideo.keys()].sort());
  }

  async refresh(item: Item): Promise<void> {
    if (!item.videoId) return;
    try {
      this.apply(item, await api.video(item.videoId));
    } catch {
      // The stream of events tells the same a moment later.
    }
  }

  #heard(event: ServerEvent): void {
    if (!isOfVideo(event)) return;
    const item = this.#byVideo.get(event.videoId);
    if (!item) return;
    // Null tells of a deletion: of our own cancelling, or the next request will find out.
    if (event.video === null) return;
    if (event.video) this.apply(item, event.video);
    else if (event.type === "video.progress" && item.video) {
      this.apply(item, withReport(item.video, event));
    } else void this.refresh(item);
  }

  /** Looks at the present state of what is being processed; only what has moved is fetched. */
  async #catchUp(): Promise<void> {
    const waiting = [...this.#byVideo].filter(([, { phase }]) => phase === "processing");
    try {
      for (const { videoId, state } of await api.progressOf(waiting.map(([id]) => id))) {
        const item = this.#byVideo.get(videoId);
        if (item && item.video?.state !== state) await this.refresh(item);
      }
    } catch {
      // As above.
    }
  }
}
