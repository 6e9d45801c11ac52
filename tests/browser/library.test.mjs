// The library: finding, sorting, and doing things to many videos at once, all of it undone again.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { begin, PATIENCE_MS, until } from "./slipway.mjs";

describe("library", { timeout: 6 * PATIENCE_MS }, () => {
  let server, media, show;
  const films = {};

  begin({ media: {} }, (made) => ({ server, media, open: show } = made));

  async function open(search = "", options = {}) {
    const { context, page, done } = await show(`/library${search}`, options);
    const list = page.getByRole("list", { name: "Library" });
    const shown = () => list.getByRole("heading").allInnerTexts();
    const shows = (...titles) =>
      until(`it shows ${titles}`, shown, (now) => now.join() === titles.join());
    const bar = page.getByRole("region", { name: "Selected videos" });
    return { context, page, list, shows, bar, done };
  }

  it("says what to do while there is nothing", async () => {
    const { page, done } = await open();
    await page.getByRole("heading", { name: "No videos yet" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Upload the first one" }).count(), 1);
    await done();
  });

  it("shows what arrives, and where it stands, without being asked", async () => {
    const { list, page, done } = await open();
    await page.getByRole("heading", { name: "No videos yet" }).waitFor();
    const bring = (name, title, tags, sessionId = "") =>
      server.bring(media.at(name), { title, tags, sessionId });
    films.harbour = await bring("faststart.mp4", "Harbour", "sea,boats", "summer");
    films.letter = await bring("text.mp4", "Letter", "paper");
    const token = server.command("token", "create", "--role", "uploader", "--user", "ann").trim();
    films.anns = await server.bring(media.at("rotated.mp4"), { title: "Anns", tags: "sea" }, token);
    const card = (title) => list.getByRole("listitem").filter({ hasText: title });
    await card("Harbour").getByText("Ready").waitFor();
    await card("Letter").getByText("Failed").waitFor();
    await card("Letter").getByText("This file isn't a video we can play").waitFor();
    await card("Anns").getByRole("button", { name: "Owner: ann" }).waitFor();
    await card("Anns").getByText("Ready").waitFor();
    await done();
  });

  it("filters by words, state, tag, session and owner, and keeps that in the address", async () => {
    const { page, list, shows, done } = await open();
    await shows("Anns", "Letter", "Harbour");
    await page.getByRole("combobox", { name: "Order" }).selectOption("Oldest first");
    await shows("Harbour", "Letter", "Anns");
    await page.getByRole("combobox", { name: "Order" }).selectOption("Title, A to Z");
    await shows("Anns", "Harbour", "Letter");
    await page.reload();
    await shows("Anns", "Harbour", "Letter");
    await page.getByRole("combobox", { name: "State" }).selectOption("Failed");
    await shows("Letter");
    await page.getByRole("button", { name: "Show all" }).click();
    await shows("Anns", "Letter", "Harbour");
    await list.getByRole("button", { name: "Tag: sea" }).first().click();
    await shows("Anns", "Harbour");
    await list.getByRole("button", { name: "Owner: ann" }).click();
    await shows("Anns");
    await page.reload();
    await shows("Anns");
    assert.equal(new URL(page.url()).search, "?tag=sea&owner=ann");
    await page.getByRole("button", { name: "No longer only Owner: ann" }).click();
    await shows("Anns", "Harbour");
    await page.getByText("Filters", { exact: true }).click();
    await page.getByRole("textbox", { name: "Session" }).fill("summer");
    await page.keyboard.press("Enter");
    await shows("Harbour");
    await page.getByRole("status").getByText("1 video", { exact: true }).waitFor();
    await page.getByRole("textbox", { name: "Tag" }).fill("paper");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Nothing fits these filters" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Show all" }).last().click();
    await page.getByRole("searchbox", { name: "Search videos" }).fill("harb");
    await shows("Harbour");
    await done();
  });

  it("deletes many and brings them back, with the keyboard alone", async () => {
    const { page, shows, bar, done } = await open();
    await shows("Anns", "Letter", "Harbour");
    await page.getByRole("checkbox", { name: "Select: Anns" }).focus();
    await page.keyboard.press("Space");
    await bar.getByText("1 selected").waitFor();
    await page.getByRole("checkbox", { name: "Select: Harbour" }).click({ modifiers: ["Shift"] });
    await bar.getByText("3 selected").waitFor();
    await page.getByRole("checkbox", { name: "Select: Letter" }).uncheck();
    await bar.getByText("2 selected").waitFor();
    await bar.getByRole("button", { name: "Delete" }).focus();
    await page.keyboard.press("Enter");
    await shows("Letter");
    await page.getByText("2 videos deleted").first().waitFor();
    const { items } = await server.ask("GET", "/api/videos?trashed=true");
    assert.deepEqual(items.map((video) => video.id).sort(), [films.harbour, films.anns].sort());
    const undo = page.getByRole("button", { name: "Undo" });
    assert.ok(await undo.evaluate((it) => it === document.activeElement), "undoing is one key away");
    await page.keyboard.press("Enter");
    await shows("Anns", "Letter", "Harbour");
    const back = await server.ask("GET", `/api/videos/${films.harbour}`);
    assert.equal(back.state, "ready");
    await done();
  });

  it("keeps the focus in the list when one is deleted", async () => {
    const { page, list, shows, done } = await open();
    await shows("Anns", "Letter", "Harbour");
    await list.getByRole("button", { name: "Delete: Letter" }).click();
    await shows("Anns", "Harbour");
    await page.getByRole("button", { name: "Undo" }).click();
    await shows("Anns", "Letter", "Harbour");
    await done();
  });

  it("changes who may watch, and processes again, for all that are selected", async () => {
    const { page, list, shows, bar, done } = await open();
    await shows("Anns", "Letter", "Harbour");
    await page.getByRole("checkbox", { name: "Select: Letter" }).check();
    await bar.getByRole("button", { name: "Select all shown" }).click();
    await bar.getByText("3 selected").waitFor();
    await bar.getByRole("combobox", { name: "Who may watch" }).selectOption("Only me");
    await bar.getByRole("button", { name: "Apply: Who may watch" }).click();
    await page.getByText("3 videos changed").first().waitFor();
    await until("all are private", () => list.getByText("Only me").count(), (count) => count === 3);
    for (const id of Object.values(films)) {
      assert.equal((await server.ask("GET", `/api/videos/${id}`)).visibility, "private");
    }
    await bar.getByRole("button", { name: "Process again" }).click();
    await page.getByText(/videos? (is|are) in line again/).first().waitFor();
    await server.settled(films.harbour);
    await bar.getByRole("button", { name: "Select none" }).click();
    await bar.waitFor({ state: "hidden" });
    await done();
  });

  it("says what is wrong while it can't be reached, and goes on", async () => {
    const { page, shows, done } = await open("", { allow: [/Failed to load/, /ERR_/] });
    await shows("Anns", "Letter", "Harbour");
    await page.route(/\/api\/videos\?/, (route) => route.abort());
    await page.getByRole("combobox", { name: "State" }).selectOption("Ready");
    await page.getByText("No connection to the server").waitFor();
    await page.unroute(/\/api\/videos\?/);
    await page.getByRole("button", { name: "Try again" }).click();
    await shows("Anns", "Harbour");
    await done();
  });

  it("asks before it deletes where nothing can be brought back", async () => {
    const { page, list, shows, done } = await open();
    await page.route(/\/api\/session$/, async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ json: { ...(await answer.json()), trashSeconds: 0 } });
    });
    await page.reload();
    await shows("Anns", "Letter", "Harbour");
    await list.getByRole("button", { name: "Delete: Letter" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete “Letter”?" });
    await dialog.getByRole("button", { name: "Keep it" }).click();
    await shows("Anns", "Letter", "Harbour");
    await list.getByRole("button", { name: "Delete: Letter" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await shows("Anns", "Harbour");
    assert.equal(await page.getByRole("button", { name: "Undo" }).count(), 0);
    await done();
  });

  it("goes through thousands of videos page by page, and draws only what is near", async () => {
    const { page, list, done } = await open();
    const real = await server.ask("GET", `/api/videos/${films.harbour}`);
    const all = 3_000;
    // As many as that can't be uploaded here; each is the real one under another name.
    const id = (n) => `01890000-0000-7000-8000-${String(all - n).padStart(12, "0")}`;
    await page.route(/\/api\/videos\?/, (route) => {
      const query = new URL(route.request().url()).searchParams;
      const from = Number(query.get("cursor") ?? 0);
      const until = Math.min(all, from + Number(query.get("limit")));
      const items = [];
      for (let n = from; n < until; n += 1) items.push({ ...real, id: id(n), title: `Film ${n}` });
      return route.fulfill({ json: { items, nextCursor: until < all ? String(until) : null } });
    });
    await page.reload();
    await list.getByRole("link", { name: "Film 0", exact: true }).waitFor();
    const count = () => page.locator(".video-card").count();
    const toEnd = () => page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    const further = async () => {
      await toEnd();
      return count();
    };
    for (let now = await count(); now < all;) {
      now = await until("more come", further, (next) => next > now);
    }
    await list.getByRole("link", { name: "Film 2999", exact: true }).waitFor();
    const drawn = () => page.locator(".video-card .actions").count();
    await until("few are drawn", drawn, (now) => now > 0 && now < 300);
    await page.getByRole("status").getByText("3000 videos").waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await list.getByRole("button", { name: "Delete: Film 0", exact: true }).waitFor();
    await done();
  });

  it("fits the narrowest screen with everything open", async () => {
    const { page, shows, bar, done } = await open("?tag=sea", {
      viewport: { width: 320, height: 640 },
    });
    await shows("Anns", "Harbour");
    await page.getByText("Filters", { exact: true }).click();
    await page.getByRole("checkbox", { name: "Select: Harbour" }).check();
    await bar.getByText("1 selected").waitFor();
    const over = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.equal(over, 0);
    await done();
  });
});
