// Everything by keyboard alone: each thing is found by Tab, seen when it has the focus, done by
// keys, and the focus is never thrown back to the page's top by what happens.

import { afterEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { copyFile } from "node:fs/promises";
import { begin, PATIENCE_MS, rowOf, slowUploads, until } from "./slipway.mjs";
import { filmOf, loaded } from "./player.mjs";

const SLOW = 1_500_000;
/** More than any page here has to offer. */
const TABS_MAX = 250;

describe("by keyboard alone", { timeout: 8 * PATIENCE_MS }, () => {
  let server, media, open, context, page;

  begin({ media: {} }, (made) => ({ server, media, open } = made));
  afterEach(() => context.close());

  async function visit(path, options) {
    ({ context, page } = await open(path, options));
  }

  /** What has the focus, within elements too; null for the page itself. */
  const focused = () =>
    page.evaluate(() => {
      let it = document.activeElement;
      while (it?.shadowRoot?.activeElement) it = it.shadowRoot.activeElement;
      if (!it || it === document.body || !it.checkVisibility()) return null;
      const rims = [it, it.closest("h2, label, .card"), it.parentElement].filter(Boolean);
      const isSeen = rims.some((one) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
        return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
      });
      return { name: it.getAttribute("aria-label") ?? it.textContent.trim(), isSeen };
    });

  const isAt = (control) =>
    control.evaluate((it) => it.getRootNode().activeElement === it && it.checkVisibility());

  /** Presses Tab until the focus is there. */
  async function tabTo(control, key = "Tab") {
    await control.waitFor();
    const passed = [];
    for (let presses = 0; presses < TABS_MAX; presses += 1) {
      if (await isAt(control)) {
        const { name, isSeen } = await focused();
        assert.ok(isSeen, `“${name}” doesn't look as if it had the focus`);
        return;
      }
      await page.keyboard.press(key);
      passed.push((await focused())?.name.slice(0, 30));
    }
    assert.fail(`${control} isn't reached by ${key}: ${passed.join(", ")}`);
  }

  async function press(control, key = "Enter") {
    await tabTo(control);
    await page.keyboard.press(key);
  }

  const has = async (control) => {
    const look = async () => [await isAt(control), await focused()];
    await until(`the focus is at ${control}`, look, ([isThere]) => isThere);
  };
  /** The focus is somewhere within it. */
  const stays = async (part) => {
    const isIn = () => part.evaluate((it) => it.contains(document.activeElement));
    await until(`the focus is in ${part}`, isIn);
    assert.ok((await focused()) !== null);
  };
  const named = (role, name, within = page) => within.getByRole(role, { name, exact: true });
  const button = (name, within) => named("button", name, within);

  it("chooses, pauses, describes, cancels and clears uploads", async () => {
    // The driver knows only the chooser of an input.
    await visit("/login");
    await page.addInitScript(() => delete window.showOpenFilePicker);
    // Asked for early: the browser hands choosers over only from then on.
    const chooser = page.waitForEvent("filechooser");
    await page.goto(`${server.base}/`);
    await page.getByText("up to").waitFor();
    await slowUploads(page, SLOW);
    await copyFile(media.at("large.mp4"), media.at("second.mp4"));
    await press(button("Choose files"));
    const files = ["large.mp4", "second.mp4", "text.mp4"];
    await (await chooser).setFiles(files.map((name) => media.at(name)));
    const [first, second, letter] = files.map((name) => rowOf(page, name));

    await press(button("Pause: large.mp4", first));
    await first.getByText("Paused").waitFor();
    await has(button("Resume: large.mp4", first));
    await page.keyboard.press("Enter");
    await has(button("Pause: large.mp4", first));

    await press(button("Details: large.mp4", first));
    const title = first.getByLabel("Title");
    await has(title);
    await page.keyboard.press("Control+a");
    await page.keyboard.type("Harbour");
    await press(button("Save", first));
    await rowOf(page, "Harbour").getByText("Saved", { exact: true }).waitFor();
    await press(button("Details: large.mp4"));
    await title.waitFor({ state: "hidden" });

    await press(button("Pause all"));
    await has(button("Resume all"));
    await page.keyboard.press("Enter");
    await has(button("Pause all"));

    await letter.getByText("Failed").waitFor();
    await press(button("Remove: text.mp4", letter));
    await letter.waitFor({ state: "detached" });
    await stays(second);
    await press(button("Cancel: large.mp4"));
    await rowOf(page, "Harbour").waitFor({ state: "detached" });
    await stays(second);

    await press(button("Cancel all"));
    await has(button("Keep going"));
    await tabTo(button("Yes, cancel all"), "Shift+Tab");
    await page.keyboard.press("Enter");
    await second.waitFor({ state: "detached" });
    await has(button("Choose files"));
    page.assertQuiet();
  });

  it("takes a finished film off the list", async () => {
    await visit("/");
    await page.getByLabel("Video or sound files").setInputFiles(media.at("faststart.mp4"));
    await rowOf(page, "faststart.mp4").getByText("Ready", { exact: true }).waitFor();
    await press(button("Play here: faststart.mp4"));
    await has(button("Close the player: faststart.mp4"));
    await filmOf(page).waitFor();
    await page.keyboard.press("Enter");
    await has(button("Play here: faststart.mp4"));
    await press(button("Clear finished"));
    await rowOf(page, "faststart.mp4").waitFor({ state: "detached" });
    await has(button("Choose files"));
    page.assertQuiet();
  });

  it("goes through all the player's controls and out again", async () => {
    const id = await server.bring(media.at("faststart.mp4"), { title: "Harbour" });
    await server.settled(id);
    await visit(`/watch/${id}`);
    await loaded(page);
    const player = page.locator("slipway-player .dock");
    const keys = ["Play", "Sound off", "Settings", "Full screen"];
    await tabTo(page.getByRole("slider", { name: "Place in the video" }));
    for (const name of keys) await tabTo(button(name, player));
    await tabTo(button("Sound off", player), "Shift+Tab");
    await page.keyboard.press("Enter");
    await has(button("Sound on", player));
    await tabTo(page.getByRole("slider", { name: "Volume" }));
    await press(button("Settings", player));
    const menu = page.getByRole("menu", { name: "Settings" });
    await until("the menu has it", () => focused(), (it) => it?.name.startsWith("Quality"));
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "hidden" });
    await has(button("Settings", player));
    await press(button("Edit details"));
    await page.getByRole("dialog", { name: "Edit details" }).waitFor();
    await page.keyboard.press("Escape");
    await has(button("Edit details"));
    page.assertQuiet();
    await server.ask("DELETE", `/api/videos/${id}?permanent=true`);
  });

  it("finds, selects, changes, deletes and brings back videos", async () => {
    const { items } = await server.ask("GET", "/api/videos?limit=100");
    for (const { id } of items) await server.ask("DELETE", `/api/videos/${id}?permanent=true`);
    const films = {};
    for (const [name, tags] of [["Anchor", "sea"], ["Bridge", "land"], ["Canal", "sea"]]) {
      films[name] = await server.bring(media.at("faststart.mp4"), { title: name, tags });
      await server.settled(films[name]);
    }
    await server.settled(await server.bring(media.at("text.mp4"), { title: "Letter" }), "failed");
    await visit("/library");
    const shown = () => page.getByRole("list", { name: "Library" }).getByRole("heading").allInnerTexts();
    const shows = (...titles) =>
      until(`it shows ${titles}`, shown, (now) => now.join() === titles.join());
    await shows("Letter", "Canal", "Bridge", "Anchor");

    const search = page.getByRole("searchbox", { name: "Search videos" });
    await tabTo(search);
    await page.keyboard.type("brid");
    await shows("Bridge");
    await press(button("Show all"));
    await shows("Letter", "Canal", "Bridge", "Anchor");
    await has(search);
    await tabTo(page.getByRole("combobox", { name: "State" }));
    await page.keyboard.type("Failed");
    await shows("Letter");
    await page.keyboard.press("Home");
    await shows("Letter", "Canal", "Bridge", "Anchor");
    await press(button("Tag: sea").first());
    await shows("Canal", "Anchor");
    await press(button("No longer only Tag: sea"));
    await shows("Letter", "Canal", "Bridge", "Anchor");
    await has(search);

    const bar = page.getByRole("region", { name: "Selected videos" });
    await press(page.getByRole("checkbox", { name: "Select: Canal" }), "Space");
    await press(page.getByRole("checkbox", { name: "Select: Bridge" }), "Space");
    await bar.getByText("2 selected").waitFor();
    await tabTo(bar.getByRole("combobox", { name: "Who may watch" }));
    await page.keyboard.type("Only me");
    await press(button("Apply: Who may watch", bar));
    await page.getByText("2 videos changed").first().waitFor();
    await press(button("Process again", bar));
    await page.getByText("2 videos are in line again").first().waitFor();
    for (const name of ["Canal", "Bridge"]) await server.settled(films[name]);
    await press(button("Delete", bar));
    await has(button("Undo"));
    await shows("Letter", "Anchor");
    await page.keyboard.press("Enter");
    await shows("Letter", "Canal", "Bridge", "Anchor");
    await has(button("Close"));
    await page.keyboard.press("Enter");
    await until("the focus is in the list", focused, (it) => it?.name === "Anchor");

    await press(button("Delete: Bridge"));
    await has(button("Undo"));
    await tabTo(button("Close"));
    await page.keyboard.press("Enter");
    await until("the next has it", focused, (it) => it?.name === "Anchor");
    page.assertQuiet();
  });

  it("runs a server: order, another try, cleaning, tokens", async () => {
    server.command("token", "create", "--role", "viewer", "--name", "old phone");
    server.command("token", "create", "--role", "viewer", "--name", "old tablet");
    await server.ask("PUT", "/api/admin/queue", { paused: true });
    for (const name of ["One", "Two"]) {
      await server.bring(media.at("faststart.mp4"), { title: `Lesson ${name}` });
    }
    await visit("/admin");
    const part = (name) => page.getByRole("region", { name, exact: true });
    const line = part("Waiting");
    const order = async () => (await line.getByRole("link").allInnerTexts()).join();
    const stands = (wanted) => until(`it is ${wanted}`, order, (now) => now === wanted);
    await stands("Lesson One,Lesson Two");
    await press(button("Up: Lesson Two", line));
    await stands("Lesson Two,Lesson One");
    await has(button("Up: Lesson Two", line));
    await press(button("Cancel: Lesson Two", line));
    await stands("Lesson One");
    await has(button("Cancel: Lesson One", line));
    await press(button("Cancel: Lesson One", line));
    await line.getByText("Nothing waits.").waitFor();
    await has(line);
    await press(button("Resume the queue", line));
    await has(button("Pause the queue", line));

    const failed = part("Failed");
    await press(button("Try all again", failed));
    await failed.getByRole("row").filter({ hasText: "Lesson" }).first().waitFor({ state: "detached" });
    await stays(failed);

    const house = part("Cleaning up");
    await press(button("Look what there is", house));
    await house.getByText(/Everything is in its place|thing/).first().waitFor();
    await stays(house);

    const access = part("Access");
    await press(button("Revoke: old phone", access));
    await has(button("Keep it", page.getByRole("dialog")));
    await press(button("Revoke", page.getByRole("dialog")));
    await button("Revoke: old phone", access).waitFor({ state: "detached" });
    await has(button("Revoke: old tablet", access));
    page.assertQuiet();
  });

  it("is caught nowhere, and is seen wherever it is", async () => {
    const { items } = await server.ask("GET", "/api/videos?state=ready");
    for (const path of ["/", "/library", "/admin", `/watch/${items[0].id}`, "/docs"]) {
      await visit(path);
      await page.getByRole("heading", { level: 1 }).first().waitFor();
      const skip = page.getByRole("link", { name: "Skip to content" });
      await tabTo(skip);
      let stops = 0;
      do {
        await page.keyboard.press("Tab");
        const now = await focused();
        assert.ok(now === null || now.isSeen, `${path}: “${now?.name}” can't be seen to have it`);
        stops += 1;
        assert.ok(stops < 400, `${path}: Tab leads round and round, now at “${now?.name}”`);
      } while (!(await isAt(skip)));
      assert.ok(stops > 5, `${path} has ${stops} stops`);
      page.assertQuiet();
      await context.close();
    }
  });
});
