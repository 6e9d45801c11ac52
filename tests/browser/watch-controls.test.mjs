// The player's own controls: keys, the bar to seek on, what is remembered, small screens, errors.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { begin, chooseFiles, PATIENCE_MS, rowOf, until } from "./slipway.mjs";
import { arrives, choose, filmOf, loaded, offered, play, seekOf, timeOf } from "./player.mjs";

describe("the player's controls", { timeout: 8 * PATIENCE_MS }, () => {
  let server, media, visit, path, texts;

  begin({ media: { long: true, more: ["texts.mkv"] } }, async (made) => {
    ({ server, media, open: visit } = made);
    const { context, page } = await visit();
    await chooseFiles(page, [media.at("longer.mp4"), media.at("texts.mkv")]);
    [path, texts] = await Promise.all(["longer.mp4", "texts.mkv"].map(linkOf));
    await context.close();

    async function linkOf(film) {
      const row = rowOf(page, film);
      await row.getByText("Ready", { exact: true }).waitFor();
      return row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    }
  });

  const film = (page, of) => filmOf(page).evaluate(of);

  it("is worked by keys alone, while it has the focus", async () => {
    const { context, page } = await visit(path);
    await loaded(page);
    const playButton = page.locator("slipway-player .keys").getByRole("button").first();
    await page.keyboard.press("k");
    await page.keyboard.press("5");
    assert.deepEqual(await film(page, (it) => [it.paused, it.currentTime]), [true, 0]);
    const isThere = () => playButton.evaluate((it) => it.getRootNode().activeElement === it);
    for (let presses = 0; presses < 20 && !(await isThere()); presses += 1) {
      await page.keyboard.press("Tab");
    }
    assert.ok(await isThere(), "Tab leads to the button to play");
    const told = page.locator("slipway-player .told");
    const tells = (words) => told.filter({ hasText: words }).waitFor();

    await page.keyboard.press("5");
    await arrives(page, 12);
    await tells("At 0:12");
    for (const [key, seconds] of [["ArrowRight", 17], ["ArrowLeft", 12], ["j", 2], ["l", 12]]) {
      await page.keyboard.press(key);
      await arrives(page, seconds);
    }
    await page.keyboard.press("Home");
    await arrives(page, 0);
    await page.keyboard.press("k");
    await until("it plays", () => film(page, (it) => !it.paused));
    await tells("Playing");
    // The button under the focus: once, not twice.
    await page.keyboard.press("Space");
    await until("it is paused", () => film(page, (it) => it.paused));
    await page.keyboard.press("m");
    await until("it is quiet", () => film(page, (it) => it.muted));
    await page.keyboard.press("m");
    await page.keyboard.press("ArrowDown");
    await tells("Volume 95%");
    await page.keyboard.press(">");
    await tells("Speed 1.25×");
    await page.keyboard.press("<");
    await page.keyboard.press("<");
    assert.equal(await film(page, (it) => it.playbackRate), 0.75);
    await page.keyboard.press("f");
    await until("it fills the screen", () => page.evaluate(() => !!document.fullscreenElement));
    await page.keyboard.press("f");
    await until("it is back", () => page.evaluate(() => !document.fullscreenElement));

    await page.keyboard.press("?");
    const help = page.getByRole("dialog", { name: "Keyboard shortcuts" });
    await help.getByText("Play or pause").waitFor();
    const before = await timeOf(page);
    await page.keyboard.press("9");
    assert.equal(await timeOf(page), before, "the list takes no keys of the film");
    await page.keyboard.press("Escape");
    await help.waitFor({ state: "hidden" });
    assert.ok(await isThere(), "the focus comes back");
    page.assertQuiet();
    await context.close();
  });

  it("leads through its menus by keys, and remembers the captions", async () => {
    const { context, page } = await visit(texts);
    await loaded(page);
    await page.getByRole("button", { name: "Settings", exact: true }).focus();
    await page.keyboard.press("Enter");
    const focused = () =>
      page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.textContent);
    await until("the first is chosen", focused, (it) => it?.startsWith("Quality"));
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    await until("the speeds", focused, (it) => it === "Normal");
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    await until("it is fast", () => film(page, (it) => it.playbackRate === 2));
    const settings = page.getByRole("button", { name: "Settings", exact: true });
    assert.ok(await settings.evaluate((it) => it.getRootNode().activeElement === it));

    await page.keyboard.press("c");
    const showing = () =>
      film(page, (it) => [...it.textTracks].filter((one) => one.mode === "showing").length);
    await until("captions show", showing, (count) => count === 1);
    await page.keyboard.press("c");
    await until("captions are off", showing, (count) => count === 0);
    const { names } = await offered(page, "Captions");
    await choose(page, "Captions", names[1]);
    await until("captions show", showing, (count) => count === 1);
    const cues = () =>
      film(page, (it) =>
        Math.max(...[...it.textTracks].map((one) => (one.mode === "showing" ? one.cues.length : 0))),
      );
    await until("their words are there", cues, (count) => count > 0);
    await page.reload();
    await until("they show again", showing, (count) => count === 1);
    page.assertQuiet();
    await context.close();
  });

  it("shows pictures of the moments on the bar, by pointer and by keys", async () => {
    const { context, page } = await visit(path);
    await loaded(page);
    const preview = page.locator("slipway-player .preview");
    const piece = () =>
      page.locator("slipway-player .preview-picture").evaluate((it) => {
        const { backgroundImage, backgroundPosition, width } = getComputedStyle(it);
        return { sheet: backgroundImage, at: backgroundPosition, width: parseFloat(width) };
      });
    const box = await seekOf(page).boundingBox();
    const point = (share) => page.mouse.move(box.x + box.width * share, box.y + box.height / 2);
    await point(0.25);
    await preview.locator(".preview-picture").waitFor();
    const early = await piece();
    assert.match(early.sheet, /storyboard-1\.jpg/);
    assert.ok(early.width > 100, JSON.stringify(early));
    assert.match(await preview.innerText(), /0:0[56]/);
    await point(0.75);
    await until("another picture", piece, ({ at }) => at !== early.at);
    assert.match(await preview.innerText(), /0:1[78]/);
    await page.mouse.down();
    await page.mouse.up();
    await until("the film is there", () => timeOf(page), (now) => Math.abs(now - 18) < 0.6);

    await page.mouse.move(5, 5);
    await preview.waitFor({ state: "hidden" });
    await page.locator("slipway-player .keys").getByRole("button").first().focus();
    await page.keyboard.press("Shift+Tab");
    await preview.waitFor();
    await page.keyboard.press("Home");
    await until("the first picture", piece, ({ at }) => /^-?0px -?0px$/.test(at));
    const said = () => seekOf(page).getAttribute("aria-valuetext");
    await until("it says where it is", said, (it) => it === "0:00 of 0:24");
    page.assertQuiet();
    await context.close();
  });

  it("goes on where it was left, offers the beginning, and forgets a film that was seen", async () => {
    const { context, page } = await visit(path);
    await loaded(page);
    await seekOf(page).fill("14");
    await until("it plays on", () => film(page, (it) => (it.play(), it.currentTime > 14.5)));
    await film(page, (it) => it.pause());
    await page.reload();
    await loaded(page);
    await until("it is there again", () => timeOf(page), (now) => now > 14 && now < 17);
    const anew = page.getByRole("button", { name: /From the beginning/ });
    await anew.click();
    await arrives(page, 0);
    await anew.waitFor({ state: "hidden" });

    await seekOf(page).fill("14");
    await film(page, (it) => it.play());
    await until("it plays on", () => timeOf(page), (now) => now > 14.5);
    await film(page, (it) => (it.currentTime = it.duration - 0.5));
    await until("it ends", () => film(page, (it) => it.ended));
    await page.getByRole("button", { name: "Play again" }).waitFor();
    await page.reload();
    await loaded(page);
    assert.ok((await timeOf(page)) < 1, "it begins anew");
    await page.goto(`${server.base + path}?t=7`);
    await loaded(page);
    await until("it begins where the link says", () => timeOf(page), (now) => Math.abs(now - 7) < 0.2);
    page.assertQuiet();
    await context.close();
  });

  it("says what is wrong when the line breaks, and goes on from there", async () => {
    const { context, page } = await visit(path, { allow: [/Failed to load resource/] });
    await loaded(page);
    await page.route(/\.m4s$/, (route) => route.abort());
    await seekOf(page).fill("20");
    const again = page.getByRole("button", { name: "Try again" });
    await page.getByText("The video stopped loading").waitFor();
    await page.unroute(/\.m4s$/);
    // The bar had the focus, which lies behind the curtain now.
    const has = (it) => it.evaluate((one) => one.getRootNode().activeElement === one);
    await until("the button has the focus", () => has(again));
    await page.keyboard.press("Enter");
    await page.getByText("The video stopped loading").waitFor({ state: "hidden" });
    const keys = page.locator("slipway-player .keys").getByRole("button");
    await until("the controls have the focus again", () => has(keys.first()));
    await until("it goes on there", () => film(page, (it) => (it.play(), it.currentTime)), (now) => now > 20.2);
    page.assertQuiet();
    await context.close();
  });

  it("works on a narrow screen by touch, with room for fingers, time from left to right", async () => {
    const { context, page } = await visit(path, {
      viewport: { width: 320, height: 640 },
      hasTouch: true,
      isMobile: true,
    });
    await loaded(page);
    const over = () =>
      page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await over(), 0);
    const frame = await page.locator("slipway-player").boundingBox();
    const controls = page.locator("slipway-player .dock").locator("button.key, input.range");
    for (const control of await controls.all()) {
      if (!(await control.isVisible())) continue;
      const box = await control.boundingBox();
      assert.ok(box.height >= 44 && box.width >= 44, JSON.stringify(box));
      assert.ok(box.x >= frame.x && box.x + box.width <= frame.x + frame.width, JSON.stringify(box));
    }
    await page.getByRole("button", { name: "Play", exact: true }).first().tap();
    await until("it plays", () => film(page, (it) => it.currentTime > 0.5));
    const player = page.locator("slipway-player .player");
    const at = { position: { x: 160, y: 60 } };
    await page.locator("video").tap(at);
    await until("the buttons go", () => player.evaluate((it) => it.hasAttribute("data-quiet")));
    await page.locator("video").tap(at);
    await until("and come", () => player.evaluate((it) => !it.hasAttribute("data-quiet")));
    assert.equal(await film(page, (it) => it.paused), false);

    await page.evaluate(() => (document.documentElement.dir = "rtl"));
    assert.equal(await over(), 0);
    const bar = await seekOf(page).boundingBox();
    await page.touchscreen.tap(bar.x + bar.width * 0.75, bar.y + bar.height / 2);
    await until("late is at the right", () => timeOf(page), (now) => now > 16 && now < 22);
    page.assertQuiet();
    await context.close();
  });

  it("does in a frame what its address says", async () => {
    const embed = path.replace("/watch/", "/embed/");
    const { context, page } = await visit(`${embed}?autoplay=1&muted=1&t=0:10&controls=0`);
    await until("it plays by itself", () => timeOf(page), (now) => now > 10.5);
    assert.equal(await film(page, (it) => it.muted), true);
    assert.equal(await seekOf(page).count(), 0, "nothing to press");
    assert.equal(await page.getByRole("button").count(), 0);
    const [box, size] = [await filmOf(page).boundingBox(), page.viewportSize()];
    assert.deepEqual([box.width, box.height], [size.width, size.height]);
    await page.goto(`${server.base}${embed}?autoplay=0`);
    await loaded(page);
    await page.getByRole("button", { name: "Play", exact: true }).first().waitFor();
    assert.equal(await film(page, (it) => it.paused), true);
    assert.equal(await film(page, (it) => it.muted), false, "the other frame's silence isn't kept");
    page.assertQuiet();
    await context.close();
  });

  it("plays by the browser's own means where hls.js can't run, and says so where nothing can", async () => {
    const { context, page } = await visit("/library");
    await page.addInitScript(() => {
      delete window.MediaSource;
      delete window.ManagedMediaSource;
      delete window.WebKitMediaSource;
    });
    await page.goto(server.base + path);
    const { blob, frames, duration } = await play(page);
    assert.equal(blob, false, "the element has the playlist itself");
    assert.ok(frames > 10 && Math.abs(duration - 24) < 0.3, `${frames} ${duration}`);
    await seekOf(page).fill("12");
    await until("it goes on there", () => timeOf(page), (now) => now > 12.2);

    await page.addInitScript(() => {
      HTMLMediaElement.prototype.canPlayType = () => "";
    });
    await page.goto(server.base + path);
    await page.getByText("Your browser can't play this video").waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    page.assertQuiet();
    await context.close();
  });
});
