/** Which form of a word goes with a number, as the language has it. */

type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** Returns a chooser among the forms of `language`; `#` in a form stands for the number. */
export function plural(language: string): (n: number, forms: Forms) => string {
  const rules = new Intl.PluralRules(language);
  const digits = new Intl.NumberFormat(language);
  return (n, forms) => (forms[rules.select(n)] ?? forms.other).replace("#", digits.format(n));
}
