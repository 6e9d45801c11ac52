/**
 * The words in the reader's language. What isn't English is a file of its own, fetched before
 * anything is drawn, so that nothing has to change under the reader's eyes.
 */

import { en, type Table, type Words } from "./words/en";

/** Where each other language's table comes from. */
const tables: Record<string, () => Promise<{ words: Table }>> = {
  ar: () => import("./words/ar"),
  de: () => import("./words/de"),
  es: () => import("./words/es"),
  fr: () => import("./words/fr"),
  hi: () => import("./words/hi"),
  ja: () => import("./words/ja"),
  pt: () => import("./words/pt"),
  ru: () => import("./words/ru"),
  zh: () => import("./words/zh"),
};

/** Languages that are written from right to left. */
const RIGHT_TO_LEFT = ["ar"];

/** Returns the first of the wanted languages (`pt-BR`, `de`) that there are words for. */
export function choose(wanted: readonly string[], known: readonly string[]): string {
  for (const tag of wanted) {
    const language = tag.toLowerCase().split("-")[0] ?? "";
    if (known.includes(language)) return language;
  }
  return "en";
}

/** The page is the server's own: it follows the reader. A page of others says its language. */
const isOurs = document.documentElement.hasAttribute("data-slipway");
const asked = new URLSearchParams(isOurs ? location.search : "").get("lang");
const told = isOurs ? navigator.languages : [document.documentElement.lang];

/** The language that is spoken, as an HTML `lang` names it. */
export const language = choose([...(asked ? [asked] : []), ...told], ["en", ...Object.keys(tables)]);

/** Latin letters among the words of the language need marks that keep them together. */
export const isRightToLeft = RIGHT_TO_LEFT.includes(language);

export const words: Words = await load(language);

if (isOurs) {
  document.documentElement.lang = language;
  document.documentElement.dir = isRightToLeft ? "rtl" : "ltr";
}

async function load(name: string): Promise<Words> {
  try {
    const table = await tables[name]?.();
    return table ? over(en, table.words) : en;
  } catch {
    // The words are worth less than what they are about.
    return en;
  }
}

/** Returns `words` with those of `table` in their place: what isn't translated yet stays English. */
function over<T extends object>(words: T, table: object): T {
  const all = { ...words } as Record<string, unknown>;
  for (const [name, own] of Object.entries(table)) {
    const known = all[name];
    const isTable = typeof own === "object" && typeof known === "object" && known !== null;
    all[name] = isTable ? over(known, own) : own;
  }
  return all as T;
}

/** Returns what a stage is called. */
export function stageWord(name: string): string {
  return words.stage[name] ?? name;
}
