// Watching: hls.js plays sound and picture, offers the qualities, and the library keeps up.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { begin, chooseFiles, durationOf, openPage, PATIENCE_MS } from "./slipway.mjs";
import { rowOf, slowUploads, until } from "./slipway.mjs";
import { arrives, choose, offered, play } from "./player.mjs";

describe("watching", { timeout: 6 * PATIENCE_MS }, () => {
  let server, media, visit, path;

  begin({ media: { long: true, more: ["texts.mkv", "languages.mkv"] } }, async (all) => {
    ({ server, media, open: visit } = all);
    const { page, done } = await visit();
    path = await made(page, "faststart.mp4");
    await done();
  });

  /** Uploads a generated film on the page; returns where it can be watched, once it is ready. */
  async function made(page, film) {
    await chooseFiles(page, [media.at(film)]);
    const row = rowOf(page, film);
    await row.getByText("Ready", { exact: true }).waitFor();
    return row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
  }

  it("plays picture and sound through hls.js, at the right length", async () => {
    const { context, page } = await visit(path);
    const played = await play(page);
    const expected = durationOf(media.at("faststart.mp4"));
    assert.ok(Math.abs(played.duration - expected) < 0.3, `${played.duration} for ${expected}`);
    assert.ok(played.blob, "hls.js feeds the element");
    assert.ok(played.frames > 10 && played.soundBytes > 1_000, JSON.stringify(played));
    await page.getByRole("heading", { name: "faststart", level: 1 }).waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("plays a film that is still being uploaded, and plays on to its end", async () => {
    const { context, page } = await visit("/");
    const { size } = await stat(media.at("longer.mp4"));
    const hurry = await slowUploads(page, size / 40);
    await chooseFiles(page, [media.at("longer.mp4")]);
    const row = rowOf(page, "longer.mp4");
    await row.getByText("Can be watched already").waitFor();
    const link = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    const watching = await openPage(context);
    await watching.goto(server.base + link);
    const played = await play(watching);
    assert.ok(played.frames > 10 && played.soundBytes > 1_000, JSON.stringify(played));
    const element = watching.getByLabel(/^Video:/);
    const id = link.split("/").at(-1);
    const answer = await context.request.get(`${server.base}/api/videos/${id}`);
    const video = await answer.json();
    assert.deepEqual([video.state, video.playable], ["uploading", true]);
    // The bar is as long as the film will be; what isn't made yet is drawn, and can't be gone to.
    const expected = durationOf(media.at("longer.mp4"));
    const bar = watching.getByRole("slider", { name: "Place in the video" });
    assert.ok(Math.abs((await bar.evaluate((it) => it.max)) - expected) < 0.5);
    await watching.locator("slipway-player .unmade").waitFor();
    await bar.fill("23.5");
    await watching.locator("slipway-player .told", { hasText: "isn't made yet" }).waitFor();
    assert.ok((await element.evaluate((it) => it.currentTime)) < 22);
    await hurry();
    await row.getByText("Ready", { exact: true }).waitFor();
    await until(
      "the film has grown to its length",
      () => element.evaluate((it) => it.duration),
      (length) => Math.abs(length - expected) < 0.3,
    );
    await watching.locator("slipway-player .unmade").waitFor({ state: "hidden" });
    await element.evaluate((it) => ((it.currentTime = it.duration - 1), it.play()));
    await until("it ends", () => element.evaluate((it) => it.ended));
    watching.assertQuiet();
    page.assertQuiet();
    await context.close();
  });

  for (const film of ["moov-last.mp4", "vp9.webm", "rotated.mp4"]) {
    it(`plays ${film} too, upright, with both tracks`, async () => {
      const { context, page } = await visit("/");
      const link = await made(page, film);
      await page.goto(server.base + link);
      const played = await play(page);
      const expected = durationOf(media.at(film));
      assert.ok(Math.abs(played.duration - expected) < 0.3, `${played.duration} for ${expected}`);
      assert.ok(played.frames > 10 && played.soundBytes > 1_000, JSON.stringify(played));
      assert.equal(played.height > played.width, film === "rotated.mp4", JSON.stringify(played));
      page.assertQuiet();
      await context.close();
    });
  }

  it("offers chapters and words, each once", async () => {
    const { context, page } = await visit("/");
    const link = await made(page, "texts.mkv");
    await page.goto(server.base + link);
    const video = page.getByLabel(/^Video:/);
    const texts = () =>
      video.evaluate((it) => [...it.textTracks].map((one) => one.language));
    await until("the words are there", texts, (found) => found.join() === "de,en,en");
    const words = await offered(page, "Captions");
    assert.equal(words.names.length, 4, words.names.join());
    assert.deepEqual([words.names[0], words.now], ["Off", "Off"]);
    const { names } = await offered(page, "Chapter");
    assert.deepEqual(names, ["First <part>", "Zweiter Teil"]);
    await choose(page, "Chapter", /^Zweiter Teil/);
    await arrives(page, 4);
    await page.locator(".chapters").getByRole("button", { name: /First <part>/ }).click();
    await page.locator(".chapters [aria-current=true]", { hasText: "First <part>" }).waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("offers the languages of a film, and plays the chosen one", async () => {
    const { context, page } = await visit("/");
    const link = await made(page, "languages.mkv");
    const id = link.split("/").at(-1);
    const renditionsOf = async (id) => (await (await fetch(`/api/videos/${id}`)).json()).renditions;
    const renditions = await page.evaluate(renditionsOf, id);
    // A better picture may bring a sound with more loudspeakers: the language is what counts.
    const heard = new Set();
    page.on("request", (request) => {
      const name = /\/(audio[^/]*)-\d+\/\d+\.m4s$/.exec(request.url())?.[1];
      if (name) heard.add(renditions.find((one) => one.name === name)?.language);
    });
    await page.goto(server.base + link);
    const sounds = () => offered(page, "Language");
    const { names } = await until("there are languages", sounds, ({ names }) => names.length > 1);
    assert.ok(names.includes("Deutsch") && names.includes("English"), names.join());
    const codes = { Deutsch: "de", English: "en" };
    const { now: chosen } = await until("one of them", sounds, ({ now }) => now in codes);
    const other = chosen === "Deutsch" ? "English" : "Deutsch";
    await until("the first sound", async () => heard.size);
    assert.deepEqual([...heard], [codes[chosen]], "only the language that plays is fetched");
    await choose(page, "Language", other);
    await until(`${other} is fetched`, async () => heard.has(codes[other]));
    await until("the menu tells it", sounds, ({ now }) => now === other);
    page.assertQuiet();
    await context.close();
  });

  it("offers every quality that the server made, and keeps to the chosen one", async () => {
    const { context, page } = await visit(path);
    const id = path.split("/").at(-1);
    const video = await page.evaluate(async (id) => (await fetch(`/api/videos/${id}`)).json(), id);
    const heights = video.renditions
      .filter((one) => one.kind === "video" && one.state === "ready")
      .map((one) => one.height);
    assert.ok(heights.length >= 2, `a 720p source has at least two qualities, not ${heights}`);
    await play(page);
    const { names, now } = await offered(page, "Quality");
    assert.equal(names.length, heights.length + 1, names.join());
    assert.match(now, /^Auto/);
    const lowest = Math.min(...heights);
    await choose(page, "Quality", `${lowest}p`);
    const element = page.getByLabel(/^Video:/);
    await element.evaluate((it) => (it.currentTime = 4));
    await until(
      "the lowest quality plays",
      () => element.evaluate((it) => it.videoHeight),
      (h) => h === lowest,
    );
    assert.equal((await offered(page, "Quality")).now, `${lowest}p`);
    page.assertQuiet();
    await context.close();
  });

  it("opened before there is anything to play, begins by itself and ends up complete", async () => {
    const { context, page } = await visit("/");
    await chooseFiles(page, [media.at("longer.mp4")]);
    const row = rowOf(page, "longer.mp4");
    await row.getByRole("button", { name: /^Copy link/ }).waitFor();
    const newest = () =>
      page.evaluate(async () => (await (await fetch("/api/videos?limit=1")).json()).items[0]);
    const { id } = await until("it is the newest", newest, ({ title }) => title === "longer");
    const watching = await openPage(context);
    await watching.goto(`${server.base}/watch/${id}`);
    const video = watching.getByLabel(/^Video:/);
    await until("something plays", () => video.evaluate((it) => it.readyState >= 2));
    assert.ok((await video.evaluate((it) => it.currentTime)) < 1, "it starts at the beginning");
    await row.getByText("Ready", { exact: true }).waitFor();
    const { state, renditions } = await page.evaluate(
      async (id) => (await fetch(`/api/videos/${id}`)).json(),
      id,
    );
    assert.equal(state, "ready");
    const heights = renditions.filter((one) => one.kind === "video").length;
    const qualities = () => offered(watching, "Quality");
    const all = ({ names }) => names.length === heights + 1;
    await until(`all ${heights} qualities are offered`, qualities, all);
    const expected = durationOf(media.at("longer.mp4"));
    const length = () => video.evaluate((it) => it.duration);
    await until("the length is right", length, (now) => Math.abs(now - expected) < 0.3);
    await play(watching);
    page.assertQuiet();
    watching.assertQuiet();
    await context.close();
  });

  it("plays in a frame without a login, with nothing around it", async () => {
    const embed = path.replace("/watch/", "/embed/");
    const { context, page } = await visit(embed, { storageState: undefined });
    const played = await play(page);
    assert.ok(played.frames > 10);
    assert.equal(await page.getByRole("banner").count(), 0);
    page.assertQuiet();
    await context.close();
  });

  it("says that there is nothing behind a wrong link", async () => {
    const nothing = "/watch/0192f000-0000-7000-8000-000000000000";
    const { page, done } = await visit(nothing, { allow: [/404/] });
    await page.getByText("There is nothing here").waitFor();
    await done();
  });

  it("changes the title, finds the video by it, and deletes it", async () => {
    const { context, page } = await visit(path);
    await page.getByRole("button", { name: "Edit details" }).click();
    const dialog = page.getByRole("dialog", { name: "Edit details" });
    await dialog.getByLabel("Title").fill("Harbour at dawn");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Harbour at dawn", level: 1 }).waitFor();

    await page.goto(`${server.base}/library`);
    const list = page.getByRole("list", { name: "Library" });
    await list.getByRole("link", { name: "Harbour at dawn" }).waitFor();
    const search = page.getByRole("searchbox", { name: "Search videos" });
    await search.fill("no such words");
    await page.getByText("Nothing found").waitFor();
    await search.fill("harbour");
    await list.getByRole("link", { name: "Harbour at dawn" }).waitFor();

    const remove = list.getByRole("button", { name: "Delete: Harbour at dawn" });
    await remove.click();
    await list.getByRole("link", { name: "Harbour at dawn" }).waitFor({ state: "detached" });
    page.assertQuiet();
    await context.close();
  });
});
