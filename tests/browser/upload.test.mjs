// The upload page: choosing, dropping, pausing, resuming, cancelling, and files that aren't videos.

import { afterEach, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { appendFile, copyFile, rename, stat, truncate } from "node:fs/promises";
import { barOf, begin, chooseFiles, PATIENCE_MS, rowOf } from "./slipway.mjs";
import { slowUploads, until, watchParts } from "./slipway.mjs";

const SLOW = 3_000_000;

describe("uploading", { timeout: 8 * PATIENCE_MS }, () => {
  let server, media, state, open, context, page;

  begin({ media: {} }, (made) => ({ server, media, state, open } = made));
  beforeEach(async () => {
    ({ context, page } = await open());
    await page.getByText("up to").waitFor();
  });
  afterEach(async () => {
    await context.close();
  });

  /** Fails if a part was sent again that had been acknowledged, or if none had been. */
  function assertWentOn(before, after) {
    const twice = after.begun.filter((index) => before.stored.includes(index));
    assert.ok(before.stored.length > 0, "nothing was acknowledged before");
    assert.deepEqual(twice, [], `acknowledged before: ${before.stored}, sent: ${after.begun}`);
    assert.ok(after.stored.length > 0, "nothing was left to be sent");
  }

  const moving = (row, share = 0.1) =>
    until(
      "the bar moves",
      () => barOf(row),
      (at) => at > share,
    );

  it("shows a chosen video from its first byte to ready", async () => {
    const { size } = await stat(media.at("faststart.mp4"));
    await slowUploads(page, size / 4);
    await chooseFiles(page, [media.at("faststart.mp4")]);
    const row = rowOf(page, "faststart.mp4");
    await row.getByText("Uploading").waitFor();
    await moving(row, 0.05);
    assert.match(await page.title(), /\d+% · Upload/);
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.equal(await page.title(), "Upload · Slipway");
    await page.getByRole("status").filter({ hasText: "faststart.mp4 is ready" }).waitFor();
    const href = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    assert.match(href, /^\/watch\/[0-9a-f-]{36}$/);
    const poster = row.locator("img");
    await until("the poster is drawn", () => poster.evaluate((image) => image.naturalWidth));
    page.assertQuiet();
  });

  /** Drops files onto the page as a person would, so that they come with their handles. */
  async function drop(...files) {
    const cdp = await context.newCDPSession(page);
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await cdp.send("Input.dispatchDragEvent", { type, x: 40, y: 500, data });
    }
  }

  it("takes several files dropped anywhere on the page", async () => {
    await drop(media.at("moov-last.mp4"), media.at("text.mp4"));
    await rowOf(page, "moov-last.mp4").getByText("Ready", { exact: true }).waitFor();
    await rowOf(page, "text.mp4").getByText("Failed").waitFor();
    page.assertQuiet();
  });

  it("says in a sentence that a text file isn't a video", async () => {
    await chooseFiles(page, [media.at("text.mp4")]);
    const row = rowOf(page, "text.mp4");
    await row.getByText("Failed").waitFor();
    await row.getByText("This file isn't a video we can play").waitFor();
    await row.getByRole("button", { name: /^Remove/ }).click();
    await row.waitFor({ state: "detached" });
    page.assertQuiet();
  });

  it("pauses, keeps what has arrived, and goes on from there", async () => {
    const lift = await slowUploads(page, SLOW);
    const before = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => before.stored.length > 3);
    await row.getByRole("button", { name: /^Pause/ }).click();
    await row.getByText("Paused").waitFor();
    const paused = structuredClone(before);
    const shown = await barOf(row);
    const after = watchParts(page);
    await lift();
    await page.getByRole("button", { name: "Resume all" }).click();
    assert.ok((await barOf(row)) >= shown, "the bar doesn't run backwards");
    await row.getByText("Ready", { exact: true }).waitFor();
    assertWentOn(paused, after);
    page.assertQuiet();
  });

  it("ends a cancelled upload here and on the server", async () => {
    await slowUploads(page, SLOW);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await moving(row, 0.02);
    await row.getByRole("button", { name: /^Cancel/ }).click();
    await row.waitFor({ state: "detached" });
    const left = await page.evaluate(async () => {
      const answer = await fetch("/api/uploads?state=partial");
      return (await answer.json()).items.length;
    });
    assert.equal(left, 0);
    page.assertQuiet();
  });

  it("goes on after a reload when the same file is chosen again, and refuses another", async () => {
    const lift = await slowUploads(page, SLOW);
    const before = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    await until("parts are there", () => before.stored.length > 3);
    page.on("dialog", (dialog) => void dialog.accept());
    await page.reload();
    const reloaded = structuredClone(before);
    const row = rowOf(page, "large.mp4");
    await row.getByText("Unfinished").waitFor();
    const choose = row.getByLabel(/^Choose the file again: large/).and(page.locator("input"));

    const changed = media.at("changed.mp4");
    await copyFile(media.at("large.mp4"), changed);
    // The same size, yet its last bytes differ.
    const { size } = await stat(changed);
    await truncate(changed, size - 7);
    await truncate(changed, size);
    await choose.setInputFiles(changed);
    await row.getByText("This isn't the same file").waitFor();

    await lift();
    const after = watchParts(page);
    await choose.setInputFiles(media.at("large.mp4"));
    await row.getByText("Ready", { exact: true }).waitFor();
    assertWentOn(reloaded, after);
    page.assertQuiet();
  });

  it("goes on after a reload with one click when the file was dropped", async () => {
    // As browsers do that ask anew at each visit.
    await page.addInitScript(() => {
      FileSystemHandle.prototype.queryPermission = async () => "prompt";
    });
    const lift = await slowUploads(page, SLOW);
    const before = watchParts(page);
    await drop(media.at("large.mp4"));
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => before.stored.length > 3);
    page.on("dialog", (dialog) => void dialog.accept());
    await page.reload();
    const reloaded = structuredClone(before);
    await lift();
    const after = watchParts(page);
    await row.getByRole("button", { name: /^Continue/ }).click();
    await row.getByText("Ready", { exact: true }).waitFor();
    assertWentOn(reloaded, after);
    page.assertQuiet();
  });

  it("knows the file of an earlier visit by itself when it is dropped among others", async () => {
    const lift = await slowUploads(page, SLOW);
    const before = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    await until("parts are there", () => before.stored.length > 3);
    page.on("dialog", (dialog) => void dialog.accept());
    await page.goto(`${server.base}/library`);
    const reloaded = structuredClone(before);
    await page.goto(`${server.base}/`);
    const row = rowOf(page, "large.mp4");
    await row.getByText("Unfinished").waitFor();
    const choose = row.getByLabel(/^Choose the file again: large/).and(page.locator("input"));
    await choose.setInputFiles(media.at("text.mp4"));
    await row.getByText("This isn't the same file").waitFor();
    await lift();
    const after = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    await rowOf(page, "large.mp4").getByText("Ready", { exact: true }).waitFor();
    assert.equal(await rowOf(page, "large.mp4").count(), 1);
    assertWentOn(reloaded, after);
    page.assertQuiet();
  });

  it("says so when a file changes on disk in the middle", async () => {
    const fleeting = media.at("fleeting.mp4");
    await copyFile(media.at("large.mp4"), fleeting);
    await slowUploads(page, SLOW);
    await chooseFiles(page, [fleeting]);
    const row = rowOf(page, "fleeting.mp4");
    await moving(row, 0.05);
    await row.getByRole("button", { name: /^Pause/ }).click();
    await row.getByText("Paused").waitFor();
    await appendFile(fleeting, "more");
    await rename(fleeting, media.at("elsewhere.mp4"));
    await row.getByRole("button", { name: /^Resume/ }).click();
    await row.getByText("The file can't be read any more").waitFor();
    await row.getByRole("button", { name: /^Discard/ }).click();
    await row.waitFor({ state: "detached" });
  });

  it("asks the server where to go on when the line goes quiet", async () => {
    await page.clock.install();
    await page.reload();
    await page.getByText("up to").waitFor();
    const asked = [];
    await page.route("**/api/videos/upload/*", (route) => {
      if (route.request().method() === "GET") asked.push("how far?");
      void route.continue();
    });
    await page.route("**/parts/*", (route) => {
      const index = Number(route.request().url().split("/").at(-1));
      asked.push(index);
      // One part is swallowed: no answer, no error, as on a dead connection.
      if (index !== 2 || asked.indexOf(2) < asked.length - 1) void route.continue();
    });
    const seen = watchParts(page);
    const begins = page.waitForRequest(/initiate$/);
    await chooseFiles(page, [media.at("faststart.mp4")]);
    const { size, chunkSize } = (await begins).postDataJSON();
    const count = Math.ceil(size / chunkSize);
    await until("the others are through", () => seen.stored.length === count - 1);
    // The part fits into the socket's buffer, so what lacks may be the answer alone.
    await page.clock.fastForward(130_000);
    const row = rowOf(page, "faststart.mp4");
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.deepEqual(asked.slice(count), ["how far?", 2]);
  });

  it("keeps what has arrived when the login runs out, and says what to do", async () => {
    await slowUploads(page, SLOW);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await moving(row, 0.05);
    await row.getByRole("button", { name: /^Pause/ }).click();
    await row.getByText("Paused").waitFor();
    await context.clearCookies();
    await row.getByRole("button", { name: /^Resume/ }).click();
    await row.getByText("Your login has run out").waitFor();
    const login = row.getByRole("link", { name: "Log in and go on" });
    assert.equal(await login.getAttribute("href"), "/login?next=%2F");
    await context.addCookies(state.cookies);
    await page.reload();
    await rowOf(page, "large.mp4")
      .getByRole("button", { name: /^Discard/ })
      .click();
    await rowOf(page, "large.mp4").waitFor({ state: "detached" });
  });
});
