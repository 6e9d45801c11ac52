// What is said of a video while it is uploaded: words, picture, checksum; for one and for all.

import { afterEach, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFile, readFile, stat } from "node:fs/promises";
import { begin, chooseFiles, PATIENCE_MS, rowOf } from "./slipway.mjs";
import { slowUploads, until, watchParts } from "./slipway.mjs";

const SLOW = 3_000_000;

describe("what is said of a video", { timeout: 8 * PATIENCE_MS }, () => {
  let server, media, open, context, page;

  begin({ media: { long: true } }, (made) => ({ server, media, open } = made));
  beforeEach(async () => {
    ({ context, page } = await open());
    await page.getByText("up to").waitFor();
  });
  afterEach(() => context.close());

  async function videoOf(row) {
    const href = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    const answer = await context.request.get(`${server.base}/api/videos/${href.split("/").at(-1)}`);
    return answer.json();
  }

  const ready = (row) => row.getByText("Ready", { exact: true }).waitFor();
  const openDetails = (row) => row.getByRole("button", { name: /^Details/ }).click();

  it("goes along with a file that waits, and is changed while it is sent and afterwards", async () => {
    const lift = await slowUploads(page, SLOW);
    const names = ["w0.mp4", "w1.mp4", "w2.mp4", "w3.mp4"];
    for (const name of names) await copyFile(media.at("large.mp4"), media.at(name));
    const begun = [];
    page.on("request", (it) => {
      if (it.url().endsWith("/initiate")) begun.push(it.postDataJSON());
    });
    await chooseFiles(
      page,
      names.map((name) => media.at(name)),
    );
    // Three are on their way at once.
    const waits = rowOf(page, "w3.mp4");
    await waits.getByText("Waiting").waitFor();
    await openDetails(waits);
    await waits.getByLabel("Title").fill("Our summer");
    await waits.getByLabel("Tags").fill("sea, sun");
    await waits.getByLabel("Who may watch").selectOption("private");
    await waits.getByRole("button", { name: "Save" }).click();
    const summer = rowOf(page, "Our summer");
    await summer.getByText("Saved. It goes along with the upload.").waitFor();
    await openDetails(rowOf(page, "w0.mp4"));
    await rowOf(page, "w0.mp4").getByLabel("Title").fill("On its way");
    await rowOf(page, "w0.mp4").getByRole("button", { name: "Save" }).click();
    const way = rowOf(page, "On its way");
    await way.getByText("Saved", { exact: true }).waitFor();
    await lift();
    await ready(summer);
    const { title, tags, visibility } = await videoOf(summer);
    assert.deepEqual([title, tags, visibility], ["Our summer", ["sea", "sun"], "private"]);
    const { filename, ...told } = begun.find((it) => it.filename === "w3.mp4");
    assert.deepEqual([filename, told.title, told.tags], ["w3.mp4", "Our summer", ["sea", "sun"]]);
    await ready(way);
    await way.getByLabel("Description").fill("Seen from the boat");
    await way.getByRole("button", { name: "Save" }).click();
    await way.getByText("Saved", { exact: true }).waitFor();
    const { title: other, description } = await videoOf(way);
    assert.deepEqual([other, description], ["On its way", "Seen from the boat"]);
    page.assertQuiet();
  });

  it("is said of all at once, also of files that come later", async () => {
    const lift = await slowUploads(page, SLOW);
    await chooseFiles(page, [media.at("large.mp4")]);
    await page.getByRole("button", { name: "Details for all" }).click();
    const form = page.getByRole("form", { name: "Details for all" });
    await form.getByLabel("Tags").fill("course 7");
    await form.getByLabel("Who may watch").selectOption("public");
    await form.getByRole("button", { name: "Save for all" }).click();
    await form.getByText("Saved").waitFor();
    await lift();
    await chooseFiles(page, [media.at("faststart.mp4")]);
    for (const name of ["large.mp4", "faststart.mp4"]) {
      const row = rowOf(page, name);
      await ready(row);
      const { tags, visibility } = await videoOf(row);
      assert.deepEqual([name, tags, visibility], [name, ["course 7"], "public"]);
    }
    page.assertQuiet();
  });

  it("has a picture that is chosen while the film is still being sent", async () => {
    const film = "longer.mp4";
    const { size } = await stat(media.at(film));
    const lift = await slowUploads(page, size / 40);
    await chooseFiles(page, [media.at(film)]);
    const row = rowOf(page, film);
    await openDetails(row);
    const stills = row.getByRole("button", { name: /^Picture at/ });
    await until(
      "there is a choice",
      () => stills.count(),
      (count) => count > 1,
    );
    assert.equal(await row.getAttribute("data-phase"), "uploading");
    await stills.last().click();
    await row.getByText("It is set once all of the film is there.").waitFor();
    const time = (await stills.last().getAttribute("aria-label")).split(" ").at(-1);
    await lift();
    await row.getByText("The picture is set.").waitFor();
    const { posterChoice } = await videoOf(row);
    assert.equal(posterChoice.state, "set");
    assert.equal(Math.round(posterChoice.time), Number(time.split(":").at(-1)));
    assert.ok(posterChoice.time > 12, "it is from the film's second half");

    const before = (await videoOf(row)).playback.poster;
    await row.getByLabel(/^A picture for the video/).setInputFiles({
      name: "own.png",
      mimeType: "image/png",
      buffer: await page.screenshot({ type: "png" }),
    });
    await until(
      "it is another",
      async () => (await videoOf(row)).playback.poster,
      (it) => it !== before,
    );
    page.assertQuiet();
  });

  it("has the moment in the player as its picture", async () => {
    await chooseFiles(page, [media.at("longer.mp4")]);
    const row = rowOf(page, "longer.mp4");
    await ready(row);
    await row.getByRole("button", { name: /^Play here/ }).click();
    const film = row.getByLabel(/^Video:/);
    await until("there is something to play", () => film.evaluate((it) => it.readyState >= 2));
    await film.evaluate((it) => {
      it.pause();
      it.currentTime = 7;
    });
    await until(
      "it is there",
      () => film.evaluate((it) => !it.seeking && it.currentTime),
      (at) => at === 7,
    );
    await openDetails(row);
    await row.getByRole("button", { name: "Use the moment in the player" }).click();
    await row.getByText("The picture is set.").waitFor();
    assert.equal((await videoOf(row)).posterChoice.time, 7);
    page.assertQuiet();
  });

  it("shows the file's checksum, which goes with each part and is the server's", async () => {
    const sums = [];
    page.on("request", (it) => {
      if (it.method() === "PUT" && /parts\/\d+$/.test(it.url())) {
        sums[Number(it.url().split("/").at(-1))] = it.headers()["x-chunk-sha256"];
      }
    });
    const seen = watchParts(page);
    const begins = page.waitForRequest(/initiate$/);
    await chooseFiles(page, [media.at("large.mp4")]);
    const { chunkSize } = (await begins).postDataJSON();
    const row = rowOf(page, "large.mp4");
    await ready(row);
    const bytes = await readFile(media.at("large.mp4"));
    const sum = (from, to) => createHash("sha256").update(bytes.subarray(from, to)).digest("hex");
    const expected = seen.stored
      .sort((a, b) => a - b)
      .map((index) => sum(index * chunkSize, (index + 1) * chunkSize));
    assert.deepEqual(sums, expected);
    await openDetails(row);
    await row.getByText(sum(0, bytes.length), { exact: true }).waitFor();
    await row.getByText("The server has exactly this file.").waitFor();
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await row.getByRole("button", { name: "Copy checksum" }).click();
    const copied = await until("it is copied", () =>
      page.evaluate(() => navigator.clipboard.readText()),
    );
    assert.equal(copied, sum(0, bytes.length));
    page.assertQuiet();
  });

  it("is done with the keyboard alone", async () => {
    const lift = await slowUploads(page, SLOW);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    const tabTo = async (target) => {
      const there = () => target.evaluate((it) => it === document.activeElement).catch(() => false);
      for (let presses = 0; presses < 40 && !(await there()); presses += 1) {
        await page.keyboard.press("Tab");
      }
      assert.ok(await there(), "Tab leads there");
    };
    await tabTo(row.getByRole("button", { name: /^Pause/ }));
    await page.keyboard.press("Enter");
    await row.getByText("Paused").waitFor();
    // The button that takes its place has the focus.
    await page.keyboard.press("Enter");
    await row.getByText("Uploading").waitFor();
    await tabTo(row.getByRole("button", { name: /^Details/ }));
    await page.keyboard.press("Space");
    // The focus goes into what was opened.
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type("By keyboard");
    await page.keyboard.press("Enter");
    const named = rowOf(page, "By keyboard");
    await named.getByText("Saved", { exact: true }).waitFor();
    await lift();
    await ready(named);
    assert.equal((await videoOf(named)).title, "By keyboard");
    page.assertQuiet();
  });
});
