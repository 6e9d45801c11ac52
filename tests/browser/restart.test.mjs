// A server that is killed in the middle: the page waits, asks where to go on, and finishes.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, Server, barOf, chooseFiles, launch, logIn, makeMedia } from "./slipway.mjs";
import { openPage, rowOf, slowUploads, until } from "./slipway.mjs";

describe("a killed server", { timeout: 4 * PATIENCE_MS }, () => {
  let server, browser, media;

  before(async () => {
    [server, browser, media] = await Promise.all([Server.start(), launch(), makeMedia()]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await media?.remove();
  });

  it("loses no byte that it had acknowledged, and needs nobody's hand", async () => {
    const state = await logIn(browser, server);
    const context = await browser.newContext({ storageState: state });
    const page = await openPage(context, [/Failed to load resource/, /ERR_/]);
    await page.goto(`${server.base}/`);
    await page.getByText("up to").waitFor();
    const lift = await slowUploads(page, 4_000_000);
    const seen = [];
    page.on("request", (request) => {
      if (request.method() === "PATCH") seen.push(Number(request.headers()["upload-offset"]));
    });
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    // Past the first chunk, so that something has been acknowledged.
    await until(
      "half is sent",
      () => barOf(row),
      (share) => share > 0.5,
    );
    const acknowledged = Math.max(...seen);
    const before = seen.length;
    await server.killAndRestart();
    await lift();
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.ok(seen[before] >= acknowledged, `from ${seen[before]}, acknowledged ${acknowledged}`);
    page.assertQuiet();
  });
});
