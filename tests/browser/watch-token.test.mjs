// Private videos for those who have a playback token and no account: a link, an element and a frame
// on another site, another token when one has ended, and what is said when it isn't good.

import { after, describe, it } from "node:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, begin, logIn, openPage, otherSite, until } from "./slipway.mjs";
import { filmOf, loaded, play, seekOf, timeOf } from "./player.mjs";

const LINK_OVER = "This link isn't valid any more";
/** A browser notes each refusal in its console. */
const REFUSED = [/the server responded with a status of 403/];

describe("playback tokens", { timeout: 4 * PATIENCE_MS }, () => {
  let server, browser, media, site, id;

  begin({ media: { more: ["texts.mkv"] }, isStrange: true }, async (made) => {
    ({ server, browser, media } = made);
    site = await otherSite();
    id = await server.bring(media.at("texts.mkv"), { visibility: "private", title: "Mine" });
    await server.settled(id);
  });
  after(() => site?.close());

  const token = (asked = {}) => server.ask("POST", `/api/videos/${id}/playback-token`, asked);
  const revoke = () => server.ask("POST", `/api/videos/${id}/playback-tokens/revoke`);

  async function visit(address, allow = []) {
    const context = await browser.newContext();
    const page = await openPage(context, allow);
    const asked = [];
    page.on("request", (request) => asked.push(request));
    await page.goto(address);
    return { context, page, asked };
  }

  it("open the watch page to a stranger, with pictures, words and a link to pass on", async () => {
    const { watchUrl, token: text } = await token();
    const { context, page, asked } = await visit(server.base + watchUrl);
    await page.getByRole("heading", { name: "Mine", level: 1 }).waitFor();
    const { width, frames } = await play(page);
    assert.ok(width > 0 && frames > 5, `${width} ${frames}`);
    const box = await seekOf(page).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.locator("slipway-player .preview-picture").waitFor();
    const media = asked.filter((it) => it.url().includes("/media/"));
    const through = media.filter((it) => it.url().startsWith(`${server.base}/media/s/${text}/${id}/`));
    assert.ok(media.length > 4 && through.length === media.length, "all by the token");
    // Chromium tells a style's pictures where they are, whatever the page asks for; they know.
    const isTold = (it) => it.headers().referer?.includes(text) && !it.url().includes(text);
    assert.deepEqual(asked.filter(isTold).map((it) => it.url()), [], "the address isn't told");
    const code = await page.evaluate(() => document.documentElement.outerHTML);
    assert.ok(!code.includes("og:title"), "no card");
    page.assertQuiet();
    await context.close();

    const alone = await visit(`${server.base}/watch/${id}`);
    await alone.page.waitForURL(/\/login/);
    await alone.context.close();
  });

  it("are made in the library for a time, copied, and taken back", async () => {
    const unlisted = { visibility: "unlisted", title: "Anybody's" };
    await server.settled(await server.bring(media.at("faststart.mp4"), unlisted));
    const storageState = await logIn(browser, server);
    const permissions = ["clipboard-read", "clipboard-write"];
    const context = await browser.newContext({ storageState, permissions });
    const page = await openPage(context, [/400 \(/]);
    await page.goto(`${server.base}/library`);
    const share = page.getByRole("button", { name: "Share: Mine" });
    await share.focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.getByRole("button", { name: /^Share: Anybody/ }).count(), 0);
    const dialog = page.getByRole("dialog", { name: "Share “Mine”" });
    const good = dialog.getByLabel("Good for");
    // What the server's configuration doesn't allow, it says.
    await good.evaluate((it) => it.append(new Option("a year", "31536000")));
    await good.selectOption("a year");
    await dialog.getByRole("button", { name: "Make a link" }).click();
    await dialog.getByRole("alert").getByText("expiresIn").waitFor();
    await good.selectOption("1 hr");
    await dialog.getByRole("button", { name: "Make a link" }).click();
    const copier = dialog.getByRole("button", { name: "Copy link" });
    await until("it can be copied at once", () =>
      copier.evaluate((it) => it === document.activeElement),
    );
    await page.keyboard.press("Enter");
    const link = await dialog.getByRole("status", { name: "Link" }).innerText();
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await until("it is copied", copied, (text) => text === link);
    assert.ok(link.startsWith(`${server.base}/watch/${id}?token=slp_`), link);
    const guest = await visit(link, REFUSED);
    await guest.page.getByRole("heading", { name: "Mine", level: 1 }).waitFor();
    await dialog.getByRole("button", { name: "Take back all links" }).click();
    await dialog.getByText("All links that were made so far have stopped working.").waitFor();
    await dialog.getByRole("status", { name: "Link" }).waitFor({ state: "hidden" });
    await guest.page.reload();
    await guest.page.getByText(LINK_OVER).waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await until("the focus is back", () => share.evaluate((it) => it === document.activeElement));
    for (const one of [page, guest.page]) one.assertQuiet();
    for (const one of [context, guest.context]) await one.close();
  });

  it("say in words when they aren't good", async () => {
    const { watchUrl, embedUrl } = await token();
    for (const url of [`${watchUrl}A`, `${embedUrl}A`]) {
      const { context, page } = await visit(server.base + url, REFUSED);
      await page.getByText(LINK_OVER).waitFor();
      assert.equal(await page.getByRole("link", { name: "Library" }).filter({ visible: true }).count(), 0);
      page.assertQuiet();
      await context.close();
    }
  });

  it("play in an element of another site, which goes on with another token", async () => {
    const first = (await token()).token;
    site.show(`<slipway-player endpoint="${server.base}" video="${id}" token="${first}">
      </slipway-player><script type="module" src="${server.base}/static/slipway.js"></script>`);
    const { context, page } = await visit(site.at, REFUSED);
    await play(page);
    await filmOf(page).evaluate((it) => it.pause());
    const at = await timeOf(page);
    await revoke();
    const refused = page.evaluate(
      () => new Promise((ok) => addEventListener("slipway-unauthorized", () => ok(true))),
    );
    const give = (token) =>
      page.locator("slipway-player").evaluate((it, token) => it.setAttribute("token", token), token);
    await give(`${first}A`);
    assert.equal(await refused, true);
    await page.getByText(LINK_OVER).waitFor();
    const second = (await token()).token;
    await give(second);
    await page.getByText(LINK_OVER).waitFor({ state: "hidden" });
    await loaded(page);
    await until("it is where it was", () => timeOf(page), (now) => Math.abs(now - at) < 0.5);
    await page.evaluate((at) => document.querySelector("slipway-player").seek(at + 1), at);
    await play(page);
    page.assertQuiet();
    await context.close();
  });

  it("for some pages play in their frames alone", async () => {
    const host = new URL(site.at).host;
    const good = await token({ referrers: [host] });
    site.show(`<iframe src="${server.base}${good.embedUrl}" allow="autoplay"></iframe>`);
    const { context, page } = await visit(site.at);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("button", { name: "Play", exact: true }).first().click();
    const now = () => filmOf(frame).evaluate((it) => it.currentTime);
    await until("it plays in the frame", now, (seconds) => seconds > 1);
    page.assertQuiet();
    await context.close();

    const other = await token({ referrers: ["app.example"] });
    const player = `${server.base}${other.embedUrl}`;
    site.show(`<slipway-player endpoint="${server.base}" video="${id}" token="${other.token}">
      </slipway-player><script type="module" src="${server.base}/static/slipway.js"></script>
      <iframe referrerpolicy="no-referrer" src="${player}"></iframe>`);
    const framing = [...REFUSED, /frame/i];
    const hot = await visit(site.at, framing);
    await hot.page.getByText(LINK_OVER).first().waitFor();
    const answers = await Promise.all(hot.asked.map((it) => it.response().catch(() => null)));
    const found = answers.filter((it) => it && /\/(media|api)\//.test(it.url()));
    const given = found.filter((it) => it.status() < 400 && !it.url().includes("/api/session"));
    assert.deepEqual(given.map((it) => it.url()), [], "nothing is given to another site, and its frame stays empty");
    await hot.context.close();
  });
});
