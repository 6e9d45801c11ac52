/**
 * The elements that any page may have, and where each comes from: its code is fetched once it is
 * needed.
 */

type Source = () => Promise<CustomElementConstructor>;
export type Sources = Record<string, Source>;

export const forAll: Sources = {
  "slipway-upload": async () => (await import("./upload")).SlipwayUpload,
  "slipway-player": async () => (await import("./player")).SlipwayPlayer,
};

const asked = new Set<string>();

/** Makes an element work, if it doesn't already. */
export async function provide(name: string, sources = forAll): Promise<void> {
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
export function provideAll(sources: Sources): void {
  const names = Object.keys(sources);
  const look = () => {
    for (const name of names) if (document.querySelector(name)) void provide(name, sources);
    return names.every((name) => asked.has(name));
  };
  const watcher = new MutationObserver(() => {
    if (look()) watcher.disconnect();
  });
  if (!look()) watcher.observe(document, { childList: true, subtree: true });
}
