// Videos beyond the watch page: links to a moment, cards, frames and the player on other sites.

import { after, describe, it } from "node:test";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { begin, chooseFiles, openPage, otherSite, PATIENCE_MS, rowOf, until } from "./slipway.mjs";
import { filmOf, loaded, offered, play, seekOf, timeOf } from "./player.mjs";

describe("elsewhere", { timeout: 6 * PATIENCE_MS }, () => {
  let server, browser, media, visit, path, id, site;

  begin({ media: { more: ["texts.mkv"] } }, async (made) => {
    ({ server, browser, media, open: visit } = made);
    site = await otherSite();
    const { context, page } = await visit();
    await chooseFiles(page, [media.at("texts.mkv")]);
    const row = rowOf(page, "texts.mkv");
    await row.getByText("Ready", { exact: true }).waitFor();
    path = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    id = path.split("/").at(-1);
    await context.close();
  });
  after(() => site?.close());

  it("links to a moment, gives code for a frame, and the original to its owner", async () => {
    const permissions = ["clipboard-read", "clipboard-write"];
    const { context, page } = await visit(path, { permissions });
    await loaded(page);
    const copied = async (name) => {
      await page.getByRole("button", { name }).click();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    assert.equal(await copied("Copy link"), server.base + path);
    await seekOf(page).fill("5");
    await page.getByRole("checkbox", { name: "Begin at 0:05" }).check();
    assert.equal(await copied(/^(Copy link|Copied)$/), `${server.base}${path}?t=5`);
    const code = await copied("Copy embed code");
    assert.match(code, new RegExp(`^<iframe src="${server.base}/embed/${id}\\?t=5" title="texts"`));
    const waits = page.waitForEvent("download");
    await page.getByRole("link", { name: "Download the original" }).click();
    const file = await (await waits).path();
    assert.ok((await readFile(file)).equals(await readFile(media.at("texts.mkv"))));
    await context.close();

    const stranger = await visit(path, { storageState: undefined });
    await stranger.page.getByRole("heading", { name: "texts", level: 1 }).waitFor();
    await stranger.page.locator(".chapters button").first().waitFor();
    for (const name of ["Download the original", "Edit details"]) {
      assert.equal(await stranger.page.getByText(name).filter({ visible: true }).count(), 0, name);
    }
    await stranger.context.close();
  });

  it("shows a card in chats, and its frame plays on another site", async () => {
    const answer = await fetch(server.base + path);
    const context = await browser.newContext();
    const page = await openPage(context);
    const html = await answer.text();
    const told = await page.evaluate((html) => {
      const head = new DOMParser().parseFromString(html, "text/html").head;
      const tags = [...head.querySelectorAll("meta[property], meta[name]")];
      const link = head.querySelector("link[type='application/json+oembed']").href;
      const name = (it) => it.getAttribute("property") ?? it.name;
      return { link, tags: Object.fromEntries(tags.map((it) => [name(it), it.content])) };
    }, html);
    const { tags, link } = told;
    assert.equal(tags["og:title"], "texts");
    assert.equal(tags["og:video"], `${server.base}/embed/${id}`);
    assert.deepEqual([tags["og:video:width"], tags["og:video:height"]], ["640", "360"]);
    assert.ok(tags["og:image"].startsWith(`${server.base}/media/${id}/poster.jpg`), tags["og:image"]);

    const said = await (await fetch(link)).json();
    assert.deepEqual([said.title, said.width, said.height], ["texts", 640, 360]);
    assert.equal(said.thumbnail_url, tags["og:image"]);
    site.show(`<img src="${said.thumbnail_url}">${said.html}`);
    await page.goto(site.at);
    const size = await page.locator("img").evaluate(async (it) => {
      await it.decode();
      return [it.naturalWidth, it.naturalHeight];
    });
    assert.deepEqual(size, [said.thumbnail_width, said.thumbnail_height]);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("button", { name: "Play", exact: true }).first().click();
    const now = () => filmOf(frame).evaluate((it) => it.currentTime);
    await until("it plays in the frame", now, (seconds) => seconds > 1);
    page.assertQuiet();
    await context.close();
  });

  it("plays as an element of another site's page, with its own looks, pictures and words", async () => {
    site.show(`<h1>A page</h1><slipway-player endpoint="${server.base}" video="${id}" start="2">
      </slipway-player><script type="module" src="${server.base}/static/slipway.js"></script>`);
    const { context, page } = await visit(site.at, { storageState: undefined });
    await loaded(page);
    await until("it begins where it is told", () => timeOf(page), (now) => Math.abs(now - 2) < 0.2);
    await page.getByRole("button", { name: "Play", exact: true }).first().waitFor();
    const { names } = await offered(page, "Captions");
    assert.equal(names.length, 4, names.join());
    const box = await seekOf(page).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    const picture = page.locator("slipway-player .preview-picture");
    await picture.waitFor();
    const sheet = await picture.evaluate((it) => getComputedStyle(it).backgroundImage);
    assert.ok(sheet.includes(`${server.base}/media/${id}/storyboard-1.jpg`), sheet);
    // It begins where `play` would be content, so pictures are waited for.
    await until("pictures are shown", async () => (await play(page)).frames, (now) => now > 5);
    const moment = page.evaluate(
      () =>
        new Promise((ok) => {
          const player = document.querySelector("slipway-player");
          player.addEventListener("slipway-time", (event) => ok(event.detail));
          player.seek(6);
        }),
    );
    assert.ok((await moment) >= 6);
    page.assertQuiet();
    await context.close();
  });
});
