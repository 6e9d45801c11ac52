// A server that is killed in the middle: the page waits, asks where to go on, and finishes.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { barOf, begin, chooseFiles, PATIENCE_MS, rowOf } from "./slipway.mjs";
import { slowUploads, until, watchParts } from "./slipway.mjs";

describe("a killed server", { timeout: 4 * PATIENCE_MS }, () => {
  let server, media, open;

  begin({ media: {} }, (made) => ({ server, media, open } = made));

  it("loses no byte that it had acknowledged, and needs nobody's hand", async () => {
    const { page, done } = await open("/", { allow: [/Failed to load resource/, /ERR_/] });
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
    await done();
  });
});
