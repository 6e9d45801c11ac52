// Getting in, and getting about by keyboard alone.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, Server, launch, logIn, makeMedia, openPage, rowOf } from "./slipway.mjs";

describe("pages", { timeout: 4 * PATIENCE_MS }, () => {
  let server, browser, media, state;

  before(async () => {
    [server, browser, media] = await Promise.all([Server.start(), launch(), makeMedia()]);
    state = await logIn(browser, server);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await media?.remove();
  });

  for (const path of ["/", "/library", "/admin"]) {
    it(`asks a stranger at ${path} to log in, and comes back there`, async () => {
      const context = await browser.newContext();
      const page = await openPage(context);
      await page.goto(server.base + path);
      assert.equal(new URL(page.url()).pathname, "/login");
      assert.equal(new URL(page.url()).searchParams.get("next"), path);
      await page.getByLabel("Access token").waitFor();
      page.assertQuiet();
      await context.close();
    });
  }

  it("says what is wrong with a used link and with an unknown token", async () => {
    const context = await browser.newContext();
    const page = await openPage(context);
    await page.goto(server.loginUrl);
    await page.getByRole("button", { name: "Open Slipway" }).click();
    await page.getByRole("alert").getByText("used or is too old").waitFor();
    await page.getByLabel("Access token").fill("slw_nobodyknowsthisone");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").getByText("isn't known here").waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("uploads a video with the keyboard alone", async () => {
    const context = await browser.newContext({ storageState: state });
    const page = await openPage(context);
    // The driver knows only the chooser of an input.
    await page.addInitScript(() => delete window.showOpenFilePicker);
    // Asked for early: the browser hands choosers over only from then on.
    const chooser = page.waitForEvent("filechooser");
    await page.goto(`${server.base}/`);
    await page.getByText("up to").waitFor();
    const browse = page.getByRole("button", { name: "Choose files" });
    const focused = () => browse.evaluate((it) => it === document.activeElement);
    for (let presses = 0; presses < 12 && !(await focused()); presses += 1) {
      await page.keyboard.press("Tab");
    }
    assert.ok(await focused(), "Tab leads to the button");
    await page.keyboard.press("Enter");
    await (await chooser).setFiles([media.at("text.mp4")]);
    const row = rowOf(page, "text.mp4");
    await row.getByText("Failed").waitFor();
    const remove = row.getByRole("button", { name: /^Remove/ });
    const there = () => remove.evaluate((it) => it === document.activeElement);
    for (let presses = 0; presses < 12 && !(await there()); presses += 1) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await row.waitFor({ state: "detached" });
    assert.ok(await focused(), "the focus isn't lost with the row");
    page.assertQuiet();
    await context.close();
  });

  it("fits a phone: nothing sticks out at the side", async () => {
    const context = await browser.newContext({
      storageState: state,
      viewport: { width: 360, height: 740 },
    });
    const page = await openPage(context);
    for (const path of ["/", "/library", "/admin", "/login"]) {
      await page.goto(server.base + path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.equal(over, 0, `${path} is ${over} pixels too wide`);
    }
    page.assertQuiet();
    await context.close();
  });

  it("lets a person out again", async () => {
    const fresh = await browser.newContext({ storageState: state });
    const page = await openPage(fresh);
    await page.goto(`${server.base}/library`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForURL(/\/login/);
    await page.goto(`${server.base}/library`);
    assert.equal(new URL(page.url()).pathname, "/login");
    page.assertQuiet();
    await fresh.close();
  });
});
