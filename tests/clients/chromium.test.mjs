// tus-js-client and Uppy on a page of another site, with a token: preflights, readable headers,
// pauses, reloads, a network that goes away, and many files at once.

import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { House, MIB, NAME, site, visit } from "./clients.mjs";
import { PATIENCE_MS, launch, until } from "../browser/slipway.mjs";

/** What both clients have in common on the page: `run` begins, `ended` tells how it went. */
const PAGE = `
  import * as tus from "tus-js-client";
  import Uppy from "@uppy/core";
  import Dashboard from "@uppy/dashboard";
  import Tus from "@uppy/tus";

  const files = () => [...document.querySelector("input").files];
  const often = Array(300).fill(100);
  const seen = (window.seen = { offsets: [], urls: {}, error: null, done: false, chunks: 0 });
  const onBeforeRequest = (request) => {
    const at = request.getHeader("Upload-Offset");
    if (at !== undefined) seen.offsets.push(Number(at));
  };
  const finished = (error) => Object.assign(seen, { error: error && String(error), done: true });

  window.startTus = async (base, token, options = {}) => {
    const [file] = files();
    const upload = (window.upload = new tus.Upload(file, {
      endpoint: base + "/files",
      headers: { Authorization: "Bearer " + token },
      metadata: { filename: file.name, filetype: file.type },
      retryDelays: often,
      onBeforeRequest,
      onChunkComplete: () => (seen.chunks += 1),
      onError: finished,
      onSuccess: () => {
        seen.urls[file.name] = upload.url;
        finished(null);
      },
      ...options,
    }));
    const [known] = await upload.findPreviousUploads();
    if (known) upload.resumeFromPreviousUpload(known);
    upload.start();
  };

  window.startUppy = (base, token, options = {}) => {
    const uppy = (window.uppy = new Uppy());
    uppy.use(Tus, {
      endpoint: base + "/files",
      headers: { Authorization: "Bearer " + token },
      retryDelays: often,
      onBeforeRequest,
      ...options,
    });
    uppy.on("upload-success", (file, { uploadURL }) => (seen.urls[file.name] = uploadURL));
    if (options.dashboard) {
      uppy.use(Dashboard, { inline: true, target: "body" });
      uppy.on("complete", ({ failed }) => finished(failed.length ? failed[0].error : null));
      return;
    }
    for (const file of files()) uppy.addFile({ name: file.name, type: file.type, data: file });
    uppy.upload().then(({ failed }) => finished(failed.length ? failed[0].error : null), finished);
  };
`;

describe("on another site's page", { timeout: 6 * PATIENCE_MS }, () => {
  let house, browser, theirs, context;
  before(async () => {
    [house, browser, theirs] = await Promise.all([House.open(), launch(), site(PAGE)]);
  });
  after(async () => {
    await browser?.close();
    theirs?.close();
    await house?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
  });
  afterEach(() => context.close());

  async function start(how, files, { base = house.base, ...options } = {}) {
    const page = await visit(context, theirs, files);
    const call = ([how, base, token, options]) => window[how](base, token, options);
    page.restart = () => page.evaluate(call, [how, base, house.token, options]);
    await page.restart();
    return page;
  }

  const see = (page) => page.evaluate(() => window.seen);

  async function ended(page, files) {
    const seen = await until(
      "the uploads end",
      () => see(page),
      ({ done }) => done,
    );
    assert.equal(seen.error, null);
    for (const file of files) await house.assertKept(seen.urls[file.name], file);
    page.assertQuiet();
    return seen;
  }

  const files = (count, bytes) =>
    Promise.all(Array.from({ length: count }, () => house.file(bytes)));

  it("tus-js-client sends a file in one request", async () => {
    const sent = [await house.file(6 * MIB, NAME)];
    const { offsets } = await ended(await start("startTus", sent), sent);
    assert.deepEqual(offsets, [0]);
  });

  it("tus-js-client sends chunks, parts, or the first bytes with the creation", async () => {
    for (const options of [
      { chunkSize: MIB },
      { parallelUploads: 3 },
      { uploadDataDuringCreation: true },
      { overridePatchMethod: true, addRequestId: true },
    ]) {
      const sent = await files(1, 2 * MIB + 5);
      await ended(await start("startTus", sent, options), sent);
    }
  });

  it("tus-js-client pauses, and goes on with what was missing", async () => {
    const line = await house.line();
    const sent = await files(1, 6 * MIB);
    const held = line.holdAfter(3.5 * MIB);
    const page = await start("startTus", sent, { base: line.base, chunkSize: MIB });
    const release = await held;
    await until("three chunks", async () => (await see(page)).chunks === 3);
    await page.evaluate(() => window.upload.abort());
    release();
    await page.evaluate(() => window.upload.start());
    const { offsets } = await ended(page, sent);
    assert.ok(offsets[4] >= 3 * MIB, `${offsets}`);
  });

  it("tus-js-client goes on after a reload, from what the browser remembers", async () => {
    const line = await house.line();
    const sent = await files(1, 4 * MIB);
    const held = line.holdAfter(2.5 * MIB);
    const page = await start("startTus", sent, { base: line.base, chunkSize: MIB });
    const release = await held;
    await until("two chunks", async () => (await see(page)).chunks === 2);
    // The page is gone for the server only when its line is.
    await page.reload();
    release();
    await page.getByLabel("Files").setInputFiles(sent.map(({ path }) => path));
    await page.restart();
    const { offsets } = await ended(page, sent);
    assert.ok(offsets[0] >= 2 * MIB, `${offsets}`);
  });

  it("tus-js-client goes on in another browser, from what the server's list says", async () => {
    const line = await house.line();
    const [file] = await files(1, 4 * MIB);
    const held = line.holdAfter(2.5 * MIB);
    const first = await start("startTus", [file], { base: line.base, chunkSize: MIB });
    await held;
    await until("two chunks", async () => (await see(first)).chunks === 2);
    await first.close();

    const other = await browser.newContext();
    const open = await house.unfinished();
    const { url } = open.find(({ filename }) => filename === file.name);
    const second = await visit(other, theirs, [file]);
    await second.evaluate(
      ([base, token, url]) => window.startTus(base, token, { uploadUrl: base + url }),
      [house.base, house.token, url],
    );
    const { offsets } = await ended(second, [file]);
    assert.ok(offsets[0] >= 2 * MIB, `${offsets}`);
    await other.close();
  });

  it("tus-js-client goes on when the network is back", async () => {
    const line = await house.line();
    const sent = await files(1, 4 * MIB);
    const held = line.holdAfter(2.5 * MIB);
    const page = await start("startTus", sent, { base: line.base, chunkSize: MIB });
    await page.evaluate(() =>
      window.addEventListener("online", () => {
        Object.assign(window.seen, { done: false, error: null });
        window.upload.start();
      }),
    );
    await held;
    await until("two chunks", async () => (await see(page)).chunks === 2);
    await context.setOffline(true);
    line.drop();
    await until("the client noticed", async () => (await see(page)).error);
    await context.setOffline(false);
    const { offsets } = await ended(page, sent);
    assert.ok(offsets.at(-1) >= 2 * MIB, `${offsets}`);
  });

  it("Uppy sends twenty files at once, through a kill of the server", async () => {
    const line = await house.line();
    const sent = await files(20, MIB);
    const held = line.holdAfter(7 * MIB);
    const options = { base: line.base, limit: 20, chunkSize: MIB / 4 };
    const page = await start("startUppy", sent, options);
    const release = await held;
    await house.server.killAndRestart();
    release();
    await ended(page, sent);
  });

  it("Uppy pauses all, and goes on", async () => {
    const line = await house.line();
    const sent = await files(3, 2 * MIB);
    const held = line.holdAfter(3 * MIB);
    const page = await start("startUppy", sent, { base: line.base, chunkSize: MIB / 4 });
    const release = await held;
    await page.evaluate(() => window.uppy.pauseAll());
    release();
    await page.evaluate(() => window.uppy.resumeAll());
    const { offsets } = await ended(page, sent);
    assert.ok(offsets.some((at) => at > 0));
  });

  it("Uppy's Dashboard uploads what a person chooses in it", async () => {
    const sent = await files(2, 3 * MIB);
    const page = await start("startUppy", [], { dashboard: true, chunkSize: MIB });
    const input = page.locator("input.uppy-Dashboard-input").first();
    await input.setInputFiles(sent.map(({ path }) => path));
    // Without its style sheet things lie above each other, but the keyboard doesn't mind.
    await page.getByRole("button", { name: "Upload 2 files" }).press("Enter");
    await page.getByText("Complete", { exact: true }).waitFor();
    const { offsets } = await ended(page, sent);
    assert.equal(offsets.length, 6);
  });

  it("Uppy waits while there is no network", async () => {
    const line = await house.line();
    const sent = await files(3, 2 * MIB);
    const held = line.holdAfter(3 * MIB);
    const page = await start("startUppy", sent, { base: line.base, chunkSize: MIB / 4 });
    await held;
    await context.setOffline(true);
    line.drop();
    const waits = () => page.evaluate(() => window.uppy.getPlugin("Tus").requests.isPaused);
    await until("Uppy noticed", waits);
    await context.setOffline(false);
    const { offsets } = await ended(page, sent);
    assert.ok(offsets.some((at) => at > 0));
  });
});
