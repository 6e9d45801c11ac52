/** What owners are called: one that is a token by itself has the token's name. */

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
