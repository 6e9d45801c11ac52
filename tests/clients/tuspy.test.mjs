// tuspy, the tus client for Python: chunks, checksums, and files that it goes on with.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { House, MIB, NAME, here, python } from "./clients.mjs";
import { PATIENCE_MS } from "../browser/slipway.mjs";

describe("tuspy", { timeout: 4 * PATIENCE_MS }, () => {
  let house;
  before(async () => {
    house = await House.open();
  });
  after(() => house?.close());

  /** Runs one upload in a process of its own; what it says, and how it ended. */
  function run(file, change = {}) {
    const { path, name } = file;
    const common = { server: house.base, token: house.token, file: path, name };
    const told = JSON.stringify({ ...common, ...change });
    return new Promise((ok, no) => {
      const script = [join(here, "tuspy_upload.py"), told];
      execFile(python, script, { timeout: PATIENCE_MS }, (error, out, err) => {
        if (!out) return no(new Error(`${error}\n${err}`));
        ok({ code: error?.code ?? 0, ...JSON.parse(out) });
      });
    });
  }

  it("sends a file in one request, under a name of many scripts", async () => {
    const file = await house.file(2 * MIB, NAME);
    const { url } = await run(file);
    await house.assertKept(url, file);
  });

  it("sends chunks, each with its checksum", async () => {
    const file = await house.file(MIB + 1);
    const { url } = await run(file, { options: { chunk_size: MIB / 4, upload_checksum: true } });
    await house.assertKept(url, file);
  });

  it("sends with its other HTTP library", async () => {
    const file = await house.file(MIB);
    const { url } = await run(file, { is_async: true, options: { chunk_size: MIB / 2 } });
    await house.assertKept(url, file);
  });

  it("sends an empty file, and one without a word about it", async () => {
    for (const bytes of [0, 5]) {
      const file = await house.file(bytes);
      const { url } = await run(file, { name: undefined });
      const upload = await house.json(new URL(url).pathname);
      await house.assertKept(url, file, upload.filename);
    }
  });

  it("goes on from its memory after its own death and the server's", async () => {
    const file = await house.file(MIB);
    const memory = join(house.dir, "tuspy.json");
    const options = { chunk_size: MIB / 8 };
    const first = await run(file, { memory, options, dies_after: 3 });
    assert.equal(first.code, 9);
    await house.server.killAndRestart();
    const second = await run(file, { memory, options });
    assert.deepEqual([second.url, second.began], [first.url, (3 * MIB) / 8]);
    await house.assertKept(second.url, file);
  });

  it("goes on by itself after a cut line", async () => {
    const line = await house.line();
    const file = await house.file(4 * MIB);
    const cut = line.cutAfter(2.5 * MIB);
    const options = { chunk_size: MIB, retries: 50, retry_delay: 0.1 };
    const [{ url }] = await Promise.all([run(file, { server: line.base, options }), cut]);
    await house.assertKept(url, file);
  });

  it("hears that what it remembers was ended", async () => {
    const file = await house.file(MIB);
    const memory = join(house.dir, "tuspy-gone.json");
    const options = { chunk_size: MIB / 4 };
    const { url } = await run(file, { memory, options, dies_after: 1 });
    const headers = { "Tus-Resumable": "1.0.0" };
    assert.equal((await house.ask(url, { method: "DELETE", headers })).status, 204);
    assert.equal((await run(file, { memory, options })).status, 410);
  });

  it("hears that a token is wrong", async () => {
    const file = await house.file(10);
    assert.equal((await run(file, { token: "slw_nobody" })).status, 401);
  });
});
