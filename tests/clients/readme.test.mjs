// The lines that the README shows for each client, run as they stand there.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { House, MIB, here, python, site, visit } from "./clients.mjs";
import { PATIENCE_MS, launch, makeMedia, until } from "../browser/slipway.mjs";

/** The code below `## Clients`, by the first words of the line that leads to it. */
async function examples() {
  const readme = await readFile(join(here, "../../README.md"), "utf8");
  const section = readme.split(/^## /m).find((part) => part.startsWith("Clients\n"));
  const found = section.matchAll(/^([^\n]+):\n\n```\w+\n(.*?)```$/gms);
  return new Map([...found].map(([, lead, code]) => [lead.split(/[,;]/)[0], code]));
}

describe("the README's examples", { timeout: 4 * PATIENCE_MS }, () => {
  let house, shown;
  before(async () => {
    [house, shown] = await Promise.all([House.open(), examples()]);
  });
  after(() => house?.close());

  it("are those that are tested here", () => {
    const known = ["Uppy", "curl in one request", "curl over tus", "tus-js-client", "tuspy"];
    assert.deepEqual([...shown.keys()].sort(), known);
  });

  /** Runs code with a program; returns its exit code and what it said. */
  function run(program, code, file, env = {}) {
    const variables = { SERVER: house.base, TOKEN: house.token, FILE: file.path, ...env };
    const options = { env: { ...process.env, ...variables }, timeout: PATIENCE_MS };
    return new Promise((ok) => {
      execFile(program[0], [...program.slice(1), code], options, (error, out, err) =>
        ok({ code: error?.code ?? 0, said: out + err, out }),
      );
    });
  }

  for (const client of ["tus-js-client", "Uppy"]) {
    it(`${client} in Chromium`, async () => {
      const define = { SERVER: JSON.stringify(house.base), TOKEN: JSON.stringify(house.token) };
      const theirs = await site(shown.get(client), define);
      const browser = await launch();
      try {
        const file = await house.file(MIB, `${client} für alle.mp4`);
        const page = await visit(await browser.newContext(), theirs, [file]);
        await house.assertFound(file);
        page.assertQuiet();
      } finally {
        await browser.close();
        theirs.close();
      }
    });
  }

  /** The code in the contract that begins so. */
  async function contracted(begins) {
    const contract = await readFile(join(here, "../../docs/API.md"), "utf8");
    const blocks = [...contract.matchAll(/^```js\n(.*?)```$/gms)].map(([, code]) => code);
    return blocks.find((code) => code.startsWith(begins));
  }

  it("a film over tus that plays before its last byte, in Chromium", async () => {
    const code = await contracted('import { Upload } from "tus-js-client"');
    const [media, line] = await Promise.all([makeMedia({ long: true }), house.line()]);
    const define = { SERVER: JSON.stringify(line.base), TOKEN: JSON.stringify(house.token) };
    const [theirs, browser] = await Promise.all([site(code, define), launch()]);
    try {
      const file = await house.copy(media.at("longer-last.mp4"), "Früh zu sehen.mp4");
      const held = line.holdAfter((file.bytes * 2) / 3);
      const page = await visit(await browser.newContext(), theirs, [file]);
      const release = await held;
      const found = `/api/videos?q=${encodeURIComponent(file.name)}`;
      const { items } = await until(
        "it plays",
        () => house.json(found),
        ({ items }) => items[0]?.playback.playableSeconds > 0,
      );
      assert.deepEqual([items[0].state, items[0].playable], ["uploading", true]);
      const master = await house.ask(items[0].playback.hls);
      assert.equal(master.status, 200);
      release();
      await house.assertFound(file);
      page.assertQuiet();
    } finally {
      await browser.close();
      theirs.close();
      await media.remove();
    }
  });

  it("numbered parts in the contract, in Chromium", async () => {
    const code = await contracted("const call");
    const define = { SERVER: JSON.stringify(house.base), TOKEN: JSON.stringify(house.token) };
    const theirs = await site(code, define);
    const browser = await launch();
    try {
      const file = await house.file(3 * MIB + 1, "Stück für Stück.mp4");
      const page = await visit(await browser.newContext(), theirs, [file]);
      await house.assertFound(file);
      page.assertQuiet();
    } finally {
      await browser.close();
      theirs.close();
    }
  });

  it("tuspy", async () => {
    const file = await house.file(MIB, "mit tuspy – größer.mp4");
    const { code, said } = await run([python, "-c"], shown.get("tuspy"), file);
    assert.equal(code, 0, said);
    await house.assertFound(file);
  });

  it("curl over tus, which goes on after a cut", async () => {
    const whole = shown.get("curl over tus");
    const file = await house.file(3 * MIB, "über curl.mp4");
    const bash = ["bash", "-euo", "pipefail", "-c"];
    const sent = await run(bash, whole, file);
    assert.equal(sent.code, 0, sent.said);
    await house.assertFound(file);

    const other = await house.file(3 * MIB, "über curl, unterbrochen.mp4");
    const line = await house.line();
    const cut = line.cutAfter(2 * MIB);
    // The address is what a person still has in the shell.
    const begins = `trap 'echo "$url"' EXIT\n${whole}`;
    const [broken] = await Promise.all([run(bash, begins, other, { SERVER: line.base }), cut]);
    assert.notEqual(broken.code, 0);
    const url = broken.out.trim().replace(line.base, house.base);
    const lines = whole.split("\n");
    const asks = lines.findIndex((line) => line.startsWith("at="));
    const [first, rest] = [lines[0], lines.slice(asks + 1)];
    const again = [first, `url=${url}`, lines[asks], 'echo "from $at"', ...rest].join("\n");
    const done = await run(bash, again, other);
    assert.equal(done.code, 0, done.said);
    assert.match(done.out, /^from [1-9]\d{5,}$/m);
    await house.assertFound(other);
  });

  it("curl in one request", async () => {
    const file = await house.file(MIB, "aus einem Guss.mp4");
    const { code, said } = await run(["bash", "-c"], shown.get("curl in one request"), file);
    assert.equal(code, 0, said);
    assert.equal((await house.assertFound(file)).title, "A day out");
  });
});
