// A server that is killed in the middle: the page waits, asks where to go on, and finishes.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, Server, barOf, chooseFiles, launch, logIn, makeMedia } from "./slipway.mjs";
import { openPage, rowOf, slowUploads, until, watchParts } from "./slipway.mjs";

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
    const seen = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until(
      "half is sent",
      () => barOf(row),
      (share) => share > 0.5,
    );
    await server.killAndRestart();
    const acknowledged = [...seen.stored];
    const before = seen.begun.length;
    await lift();
    await row.getByText("Ready", { exact: true }).waitFor();
    const twice = seen.begun.slice(before).filter((index) => acknowledged.includes(index));
    assert.ok(acknowledged.length > 3, `${acknowledged}`);
    assert.deepEqual(twice, [], `acknowledged ${acknowledged}`);
    page.assertQuiet();
  });
});
