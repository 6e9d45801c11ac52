/** Tells the server what a person says of a video: at once, or as soon as it can be told. */

import * as api from "./api";
import { hasArrived, type Item, type Said } from "./item";
import { sayable } from "./trouble";
import type { Work } from "./work";

export class Telling {
  /** `set` changes an item, `learn` takes the newer description of its video. */
  constructor(
    private readonly set: (item: Item, change: Partial<Item>) => void,
    private readonly learn: (item: Item, video: api.Video) => void,
  ) {}

  async describe(item: Item, work: Work, details: api.Details): Promise<void> {
    const before = item.details;
    this.set(item, { details: { ...before, ...details } });
    if (!item.videoId) return;
    try {
      this.learn(item, await api.saveDetails(item.videoId, details));
      work.told = item.details;
    } catch (problem) {
      this.set(item, { details: before });
      throw problem;
    }
  }

  /** What was said while the upload began has to be told afterwards. */
  async tellRest(item: Item, work: Work): Promise<void> {
    if (!item.videoId || work.told === null || work.told === item.details) return;
    const { details } = item;
    try {
      this.learn(item, await api.saveDetails(item.videoId, details));
      work.told = details;
    } catch {
      // It is told once more at the end, and can be read and changed in the row.
    }
  }

  async choosePoster(item: Item, choice: api.PosterChoice): Promise<void> {
    const poster = { choice, problem: null as Said | null };
    this.set(item, { poster });
    if (!hasArrived(item) || !item.videoId) return;
    try {
      this.learn(item, await api.choosePoster(item.videoId, choice));
      // A newer choice may have been made meanwhile.
      if (item.poster === poster) this.set(item, { poster: null });
    } catch (problem) {
      poster.problem = sayable(problem);
      this.set(item, {});
    }
  }
}
