/** What owners are called: one that is a token by itself has the token's name. */

import { h, text, watchPath } from "../view";
import { words } from "../words";
import type { Token } from "./api";

const names = new Map<string, string>();

/** Hears which tokens there are. */
export function learnOwners(tokens: readonly Token[]): void {
  names.clear();
  for (const token of tokens) {
    if (token.name && token.owner === token.id) names.set(token.owner, token.name);
  }
}

/** Returns what people call an owner. */
export const ownerName = (owner: string) => names.get(owner) ?? owner;

/** Returns the head of a row: a video's name that leads to it, and whose it is. */
export function videoCell(): {
  cell: HTMLElement;
  draw(id: string | null, title: string | null, owner?: string | null): void;
} {
  const link = h("a");
  const whose = h("span", { class: "muted small whose" });
  const cell = h("th", { scope: "row" }, link, whose);
  const draw = (id: string | null, title: string | null, owner?: string | null) => {
    if (id) link.href = watchPath(id);
    else link.removeAttribute("href");
    text(link, title || words.watch.untitled);
    text(whose, owner ? ownerName(owner) : "");
  };
  return { cell, draw };
}
