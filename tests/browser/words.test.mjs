// The tables of words: no language lacks an entry, has one too many, or says another thing than a
// string or a function of the same arguments.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { build } = createRequire(join(root, "static/package.json"))("esbuild");
const folder = join(root, "static/src/words");

/** Entries by their path: `upload.retry`. */
function flat(table, before = "") {
  return Object.entries(table).flatMap(([name, said]) =>
    typeof said === "object" ? flat(said, `${before}${name}.`) : [[before + name, said]],
  );
}

/** What a function says of numbers or of names, so that empty words are found. */
function said(entry, n) {
  const all = typeof entry === "string" ? entry : entry(...Array(6).fill(n));
  return typeof all === "string" ? all : Object.values(all).join("\n");
}

describe("words", () => {
  let dir, tables, english;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "slipway-words-"));
    const files = (await readdir(folder)).filter((file) => /^[a-z]{2}\.ts$/.test(file));
    const entryPoints = files.map((file) => join(folder, file));
    const outExtension = { ".js": ".mjs" };
    await build({ entryPoints, outdir: dir, outExtension, bundle: true, format: "esm" });
    const read = async (file) => [file.slice(0, 2), await import(join(dir, `${file.slice(0, 2)}.mjs`))];
    const every = new Map(await Promise.all(files.map(read)));
    english = new Map(flat(every.get("en").en));
    every.delete("en");
    tables = new Map([...every].map(([name, { words }]) => [name, new Map(flat(words))]));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it("are there in ten languages", () => {
    assert.deepEqual([...tables.keys()].sort(), ["ar", "de", "es", "fr", "hi", "ja", "pt", "ru", "zh"]);
  });

  it("lack nothing and have nothing too much", () => {
    for (const [language, table] of tables) {
      const lacking = [...english.keys()].filter((name) => !table.has(name));
      const strange = [...table.keys()].filter((name) => !english.has(name));
      assert.deepEqual({ language, lacking, strange }, { language, lacking: [], strange: [] });
    }
  });

  it("are strings where English has strings, and say something for every number", () => {
    for (const [language, table] of tables) {
      for (const [name, entry] of table) {
        const model = english.get(name);
        assert.equal(typeof entry, typeof model, `${language}: ${name}`);
        for (const n of typeof entry === "string" ? [0] : [0, 1, 2, 3, 5, 11, 21, 100]) {
          const words = said(entry, n);
          assert.equal(typeof words, "string", `${language}: ${name}`);
          assert.ok(words.trim() !== "" || said(model, n).trim() === "", `${language}: ${name}`);
          assert.doesNotMatch(words, /undefined|NaN|\[object|#/, `${language}: ${name}`);
        }
      }
    }
  });

  it("follow one another with each language's own full stop", () => {
    const texts = { de: ["Gespeichert", "Es geht mit."], zh: ["已保存", "将一起上传。"] };
    const sentences = (language) => tables.get(language).get("sentences");
    assert.equal(sentences("de")(...texts.de), "Gespeichert. Es geht mit.");
    assert.equal(sentences("zh")(...texts.zh), "已保存。将一起上传。");
    assert.equal(sentences("hi")("सेव हो गया", "", "फिर"), "सेव हो गया। फिर।");
    // What the server says is English, and ends as English does.
    assert.equal(sentences("ja")("The disk is full", "Try later."), "The disk is full. Try later.");
    assert.equal(english.get("sentences")("Saved", null), "Saved", "a title alone stays one");
  });

  it("aren't glued together by the pages", async () => {
    const glue = [
      [/\.join\("[^"]*[.:·—–]/, "a join that makes sentences or facts"],
      [/`[^`]*\}[.:·]? ?[.:·] (\$\{|`)/, "a template that does"],
      [/`[^`]*[.:·] \$\{/, "a template that does"],
      [/\b(w|e|l|words)\.[\w.]+(\([^()]*\))? \+ /, "words put before something"],
      [/ \+ (w|e|l|words)\.[a-z]/, "words put behind something"],
    ];
    const sources = (await readdir(join(folder, ".."), { recursive: true })).filter(
      (file) => /\.ts$/.test(file) && !/^words\/|^units\.ts$/.test(file),
    );
    assert.ok(sources.length > 60, `${sources.length} files`);
    for (const file of sources) {
      const lines = (await readFile(join(folder, "..", file), "utf8")).split("\n");
      lines.forEach((line, at) => {
        if (/^\s*(\/\/|\/?\*)/.test(line)) return;
        for (const [pattern, what] of glue) {
          assert.doesNotMatch(line, pattern, `${file}:${at + 1}: ${what}`);
        }
      });
    }
  });

  it("tell the number that they are given", () => {
    for (const [language, table] of [["en", english], ...tables]) {
      for (const [name, entry] of table) {
        if (typeof entry === "string" || entry.length === 0) continue;
        const model = said(english.get(name), 7);
        if (!/7/.test(model)) continue;
        assert.match(said(entry, 7), /7|٧|७|七/, `${language}: ${name}`);
      }
    }
  });
});
