/** How sentences follow one another, as the language has it. */

type Maybe = string | null | undefined | false;

/** What a sentence ends with, in whatever language it is. */
const ENDED = /[.!?…:。！？।؟]$/;

/** The server's own words are English wherever they are shown. */
const LATIN = /^[\u0020-\u024f\u2000-\u206f]*$/;

/** Chinese and Japanese full stops bring their space along. */
const SPACED = /[。！？]$/;

/** Returns what makes one text of titles and sentences; a title alone stays one. */
export function sentences(stop: string): (...said: Maybe[]) => string {
  const ended = (one: string) => (ENDED.test(one) ? one : one + (LATIN.test(one) ? "." : stop));
  return (...said) => {
    const all = said.filter((one): one is string => !!one);
    if (all.length < 2) return all[0] ?? "";
    return all.map((one) => ended(one)).reduce((text, next) =>
      SPACED.test(text) ? text + next : `${text} ${next}`,
    );
  };
}
