/**
 * The elements, and where each comes from: its code is fetched once a page has the element, so that
 * nobody waits for what another page needs.
 */

import { isOurs } from "./door";

type Source = () => Promise<CustomElementConstructor>;

/** Elements that any site's page may have. */
const forAll: Record<string, Source> = {
  "slipway-upload": async () => (await import("./upload")).SlipwayUpload,
  "slipway-player": async () => (await import("./player")).SlipwayPlayer,
};

/** Elements that make the server's own pages. */
const forOurs: Record<string, Source> = {
  "slipway-library": async () => (await import("./library/library")).SlipwayLibrary,
  "slipway-watch": async () => (await import("./watch")).SlipwayWatch,
  "slipway-embed": async () => (await import("./watch")).SlipwayEmbed,
  "slipway-admin": async () => (await import("./admin/admin")).SlipwayAdmin,
  "slipway-login": async () => (await import("./login")).SlipwayLogin,
  "slipway-docs": async () => (await import("./docs")).SlipwayDocs,
};

const sources = isOurs ? { ...forAll, ...forOurs } : forAll;
const asked = new Set<string>();

/** Makes an element work, if it doesn't already. */
export async function provide(name: string): Promise<void> {
  const source = sources[name];
  if (!source || asked.has(name)) return;
  asked.add(name);
  try {
    const element = await source();
    if (!customElements.get(name)) customElements.define(name, element);
  } catch (problem) {
    // The line was down: the next one who needs it asks again.
    asked.delete(name);
    throw problem;
  }
}

/** Makes all elements work that the page has, and those that come into it later. */
export function provideAll(): void {
  const names = Object.keys(sources);
  const look = () => {
    for (const name of names) if (document.querySelector(name)) void provide(name);
    return names.every((name) => asked.has(name));
  };
  const watcher = new MutationObserver(() => {
    if (look()) watcher.disconnect();
  });
  if (!look()) watcher.observe(document, { childList: true, subtree: true });
}
