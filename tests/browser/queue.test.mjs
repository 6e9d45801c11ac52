// The upload page's list: how files come in, thousands of them, pictures, and what is done with all.

import { afterEach, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { begin, chooseFiles, openPage, PATIENCE_MS, rowOf } from "./slipway.mjs";
import { slowUploads, until, watchParts } from "./slipway.mjs";

const SLOW = 3_000_000;

/** Small files that are no films are kept, so that a test may have very many. */
const KEEPS_ALL = { SLIPWAY_UPLOAD__ACCEPT: '["*/*"]' };

describe("the list of files", { timeout: 10 * PATIENCE_MS }, () => {
  let server, browser, media, state, context, page;

  begin({ media: {}, env: KEEPS_ALL }, (made) => ({ server, browser, media, state } = made));
  beforeEach(async () => {
    page = await visit();
  });
  afterEach(() => context.close());

  async function visit(options = {}, allow = []) {
    await context?.close();
    context = await browser.newContext({ storageState: state, ...options });
    const page = await openPage(context, allow);
    // There is no dialog anywhere in this.
    page.on("dialog", (dialog) => assert.fail(dialog.message()));
    await page.goto(`${server.base}/`);
    // On a phone that has files already there is no room for the sentence.
    await page.getByText("up to").waitFor({ state: "attached" });
    return page;
  }

  const rows = (page) => page.getByRole("list", { name: "Your files" }).getByRole("listitem");
  const api = async (path) => (await context.request.get(server.base + path)).json();

  /** Gives the page so many small files, as a script on it would. */
  const addMany = (page, count, name) =>
    page.evaluate(
      ([count, name]) => {
        const files = Array.from(
          { length: count },
          (_, at) => new File([`${name} number ${at}`], `${name}-${at}.txt`),
        );
        document.querySelector("slipway-upload").addFiles(files);
      },
      [count, name],
    );

  it("sends five hundred small files, and draws the rows that are seen", async () => {
    await page.evaluate(() => {
      window.uploaded = new Set();
      addEventListener("slipway-uploaded", ({ detail }) => window.uploaded.add(detail.videoId));
    });
    await addMany(page, 500, "small");
    const uploaded = () => page.evaluate(() => window.uploaded.size);
    let most = 0;
    for (let wanted = 100; wanted <= 500; wanted += 100) {
      await until(
        `${wanted} have arrived`,
        async () => {
          most = Math.max(most, await rows(page).count());
          return uploaded();
        },
        (count) => count >= wanted,
      );
    }
    assert.ok(most > 0 && most < 60, `${most} rows were drawn`);
    await page.getByText("All 500 uploaded").waitFor();
    const left = await api("/api/uploads?state=partial");
    assert.deepEqual(left.items, []);
    page.assertQuiet();
  });

  it("stays as it is with ten thousand", async () => {
    await page.evaluate(() => {
      const upload = document.querySelector("slipway-upload");
      const files = Array.from({ length: 10_000 }, (_, at) => new File(["x"], `file-${at}.txt`));
      upload.addFiles(files);
      upload.pause();
    });
    await page.getByText("of 10000 uploaded").or(page.getByText("of 10,000 uploaded")).waitFor();
    const few = async () => {
      const count = await rows(page).count();
      assert.ok(count > 3 && count < 60, `${count} rows`);
    };
    await few();
    const first = rows(page).first();
    assert.equal(await first.getAttribute("aria-setsize"), "10000");
    // The row that the keyboard is in stays, wherever the page is scrolled to.
    const details = rowOf(page, "file-2.txt").getByRole("button", { name: /^Details/ });
    await details.focus();
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await rowOf(page, "file-9999.txt").getByText("Paused").waitFor();
    await few();
    assert.ok(await details.evaluate((it) => it === document.activeElement));
    await page.keyboard.press("Enter");
    await rowOf(page, "file-2.txt").getByLabel("Title").waitFor();
    assert.equal(await rowOf(page, "file-5000.txt").count(), 0);
    page.assertQuiet();
  });

  it("has a picture of a film before the server has, of rows that are seen", async () => {
    page = await visit({ viewport: { width: 900, height: 700 } });
    const names = Array.from({ length: 9 }, (_, at) => `local-${at}.mp4`);
    for (const name of names) await copyFile(media.at("faststart.mp4"), media.at(name));
    await slowUploads(page, 40_000);
    await chooseFiles(
      page,
      names.map((name) => media.at(name)),
    );
    const image = (name) => rowOf(page, name).locator("img");
    // The film has bars of many colours.
    const isDrawn = (it) => {
      if (!it.src.startsWith("blob:") || it.naturalWidth === 0) return false;
      const pen = document.createElement("canvas").getContext("2d");
      pen.drawImage(it, 0, 0, 8, 4);
      const pixels = pen.getImageData(0, 2, 8, 1).data;
      return new Set(Array.from({ length: 8 }, (_, at) => pixels[4 * at] >> 6)).size > 1;
    };
    await until("it is drawn", () => image(names[0]).evaluate(isDrawn));
    await until("and the next", () => image(names[1]).evaluate(isDrawn));
    assert.equal(await image(names[8]).count(), 0, "nobody sees the last one");
    await rowOf(page, names[8]).scrollIntoViewIfNeeded();
    await until("it is seen", () => image(names[8]).evaluate(isDrawn));
    page.assertQuiet();
  });

  it("takes folders, and what is pasted", async () => {
    const folder = join(media.dir, "folder");
    await mkdir(join(folder, "inner"), { recursive: true });
    await writeFile(join(folder, ".hidden"), "no");
    await writeFile(join(folder, "one.txt"), "one");
    await writeFile(join(folder, "inner/two.txt"), "two");
    await page.locator("input[webkitdirectory]").setInputFiles(folder);
    await rowOf(page, "one.txt").waitFor();
    await rowOf(page, "two.txt").waitFor();
    assert.ok(await page.getByRole("button", { name: "Choose a folder" }).isVisible());
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(["pasted"], "pasted.txt"));
      document.body.dispatchEvent(
        new ClipboardEvent("paste", { clipboardData: data, bubbles: true }),
      );
    });
    await rowOf(page, "pasted.txt").waitFor();
    assert.equal(await page.getByRole("heading", { name: "hidden" }).count(), 0);
    page.assertQuiet();
  });

  it("offers the camera on a phone", async () => {
    page = await visit({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 800 } });
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Record a video" }).tap();
    const chosen = await chooser;
    const input = chosen.element();
    assert.equal(await input.getAttribute("capture"), "environment");
    assert.equal(await input.getAttribute("accept"), "video/*");
    await chosen.setFiles(media.at("faststart.mp4"));
    await rowOf(page, "faststart.mp4").waitFor();
    page.assertQuiet();
  });

  it("pauses, goes on with and gives up all, and asks in its place before", async () => {
    await slowUploads(page, SLOW);
    for (const name of ["eins.mp4", "zwei.mp4"])
      await copyFile(media.at("large.mp4"), media.at(name));
    const seen = watchParts(page);
    await chooseFiles(page, [media.at("eins.mp4"), media.at("zwei.mp4")]);
    await until("parts are there", () => seen.stored.length > 2);
    const icon = page.locator("link[rel=icon]");
    await until(
      "the icon shows it",
      () => icon.getAttribute("href"),
      (it) => it.startsWith("data:"),
    );
    const usual = "/static/mark.svg";
    await page.getByRole("button", { name: "Pause all" }).click();
    await rowOf(page, "eins.mp4").getByText("Paused").waitFor();
    await rowOf(page, "zwei.mp4").getByText("Paused").waitFor();
    await page.getByRole("button", { name: "Resume all" }).click();
    await rowOf(page, "zwei.mp4").getByText("Uploading").waitFor();
    await page.getByRole("button", { name: "Cancel all" }).click();
    const keep = page.getByRole("button", { name: "Keep going" });
    assert.ok(
      await keep.evaluate((it) => it === document.activeElement),
      "the safe answer is at hand",
    );
    await page.keyboard.press("Enter");
    await keep.waitFor({ state: "hidden" });
    await rowOf(page, "eins.mp4").waitFor();
    await rowOf(page, "zwei.mp4").waitFor();
    await page.getByRole("button", { name: "Cancel all" }).click();
    await page.getByRole("button", { name: "Yes, cancel all" }).click();
    await rowOf(page, "eins.mp4").waitFor({ state: "detached" });
    await rowOf(page, "zwei.mp4").waitFor({ state: "detached" });
    const left = (await api("/api/uploads?state=partial")).items.map(({ filename }) => filename);
    assert.ok(!left.includes("eins.mp4") && !left.includes("zwei.mp4"), `${left}`);
    await until(
      "the icon is as it was",
      () => icon.getAttribute("href"),
      (it) => it.endsWith(usual),
    );
    page.assertQuiet();
  });

  it("tries again whatever failed, all at once", async () => {
    page = await visit({}, [/413/]);
    const creation = /initiate$/;
    const body = {
      title: "There is no room left for you",
      code: "quota-exceeded",
      retryable: false,
    };
    const refusal = {
      status: 413,
      contentType: "application/problem+json",
      body: JSON.stringify(body),
    };
    await page.route(creation, (route) => route.fulfill(refusal));
    await addMany(page, 2, "again");
    for (const name of ["again-0.txt", "again-1.txt"]) {
      await rowOf(page, name).getByText("There is no room left for you").waitFor();
    }
    await page.unroute(creation);
    await page.getByRole("button", { name: "Try failed ones again" }).click();
    await rowOf(page, "again-1.txt").getByText("Ready", { exact: true }).waitFor();
    await rowOf(page, "again-0.txt").getByText("Ready", { exact: true }).waitFor();
    page.assertQuiet();
  });

  it("plays a finished film in its row, and shuts it again", async () => {
    await chooseFiles(page, [media.at("faststart.mp4")]);
    const row = rowOf(page, "faststart.mp4");
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.equal(await row.locator("slipway-player").count(), 0, "nothing is fetched before");
    await row.getByRole("button", { name: /^Play here/ }).click();
    const film = row.getByLabel(/^Video:/);
    await until("there is something to play", () => film.evaluate((it) => it.readyState >= 2));
    await row.getByRole("button", { name: /^Close the player/ }).click();
    await film.waitFor({ state: "detached" });
    page.assertQuiet();
  });
});
