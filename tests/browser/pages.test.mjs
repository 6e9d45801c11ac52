// Getting in and out, and fitting a phone.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { begin, PATIENCE_MS } from "./slipway.mjs";

describe("pages", { timeout: 2 * PATIENCE_MS }, () => {
  let server, open;

  begin({}, (made) => ({ server, open } = made));

  for (const path of ["/", "/library", "/admin"]) {
    it(`asks a stranger at ${path} to log in, and comes back there`, async () => {
      const { page, done } = await open(path, { storageState: undefined });
      assert.equal(new URL(page.url()).pathname, "/login");
      assert.equal(new URL(page.url()).searchParams.get("next"), path);
      await page.getByLabel("Password").waitFor();
      await done();
    });
  }

  it("says what is wrong with a used link and with an unknown token", async () => {
    const { page, done } = await open(server.loginUrl, { storageState: undefined });
    await page.getByRole("button", { name: "Open Slipway" }).click();
    await page.getByRole("alert").getByText("used or is too old").waitFor();
    await page.getByText("Log in with an access token").click();
    await page.getByLabel("Access token").fill("slw_nobodyknowsthisone");
    await page.getByRole("button", { name: "Log in" }).last().click();
    await page.getByRole("alert").getByText("isn't known here").waitFor();
    await done();
  });

  it("fits a phone: nothing sticks out at the side", async () => {
    const { page, done } = await open("/", { viewport: { width: 360, height: 740 } });
    for (const path of ["/", "/library", "/admin", "/login"]) {
      await page.goto(server.base + path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.equal(over, 0, `${path} is ${over} pixels too wide`);
    }
    await done();
  });

  it("lets a person out again", async () => {
    const { page, done } = await open("/library");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForURL(/\/login/);
    await page.goto(`${server.base}/library`);
    assert.equal(new URL(page.url()).pathname, "/login");
    await done();
  });
});
