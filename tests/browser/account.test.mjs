// One's own account: another password, and where one is logged in.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { begin, openPage, PATIENCE_MS, until } from "./slipway.mjs";

const FIRST = "correct horse";

describe("account", { timeout: 4 * PATIENCE_MS }, () => {
  let server, browser, open;

  begin({}, (made) => ({ server, browser, open } = made));

  const make = (name) =>
    server.ask("POST", "/api/admin/users", { name, role: "uploader", password: FIRST });

  /** Logs in with a browser of its own, which may say that it is another one. */
  async function enter(name, { password = FIRST, allow, ...options } = {}) {
    const context = await browser.newContext(options);
    const page = await openPage(context, allow);
    await page.goto(`${server.base}/login?next=/account`);
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in", exact: true }).first().click();
    const done = () => {
      page.assertQuiet();
      return context.close();
    };
    return { page, done };
  }

  const rows = (page) => page.getByRole("table").getByRole("row").filter({ has: page.locator("td") });
  const here = (page) => rows(page).filter({ hasText: "this browser" });

  it("is led to from every page, by its name", async () => {
    await make("acme/ann");
    const { page, done } = await enter("acme/ann");
    await page.getByRole("heading", { level: 1, name: "Your account" }).waitFor();
    await page.getByRole("main").getByText("acme/ann · upload and watch").waitFor();
    await page.getByRole("link", { name: "Library" }).click();
    await page.getByRole("link", { name: "Your account: acme/ann" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(`${server.base}/account`);
    await done();
  });

  it("gets another password with the keyboard, and says why one isn't possible", async () => {
    await make("bob the builder");
    const allow = [/40[03] \(/];
    const other = await enter("bob the builder", { allow: [/401 \(/] });
    await here(other.page).waitFor();
    const { page, done } = await enter("bob the builder", { allow });
    await rows(page).nth(1).waitFor();
    const [current, fresh] = [page.getByLabel("Present password"), page.getByLabel("New password")];
    const problem = page.getByRole("alert");
    const change = async (now, next) => {
      await current.fill(now);
      await page.keyboard.press("Tab");
      await page.keyboard.type(next);
      await page.keyboard.press("Enter");
    };
    await change("wrong horse", "another one");
    await problem.getByText("The present password isn't right.").waitFor();
    await until("it can be typed anew", () =>
      current.evaluate((it) => it === document.activeElement && it.selectionEnd > 0),
    );
    await fresh.fill("");
    await change(FIRST, "bob the builder");
    await problem.getByText("at least 8 characters, and isn't your name").waitFor();
    await fresh.fill("");
    await change(FIRST, "short");
    assert.equal(await fresh.evaluate((it) => it.validity.tooShort), true);
    await page.getByLabel("Show passwords").check();
    assert.equal(await fresh.getAttribute("type"), "text");
    await fresh.fill("");
    await change(FIRST, "another one");
    await page.getByRole("main").getByText("Your password is changed.").waitFor();
    assert.deepEqual([await current.inputValue(), await fresh.inputValue()], ["", ""]);
    assert.equal(await fresh.getAttribute("type"), "password");
    // The other browser is out, and this one stays.
    await rows(page).nth(1).waitFor({ state: "detached" });
    await here(page).waitFor();
    await other.page.goto(`${server.base}/account`);
    await other.page.waitForURL(/\/login/);
    await other.done();
    await (await enter("bob the builder", { password: "another one" })).done();
    await done();
  });

  it("says for how long nobody is let guess", async () => {
    await make("carl");
    const { page, done } = await enter("carl", { allow: [/403 \(|429 \(/] });
    // The browser has signed in before, and has a count of its own.
    const attempt = () =>
      page.evaluate(async () => {
        const headers = { "Content-Type": "application/json" };
        const body = JSON.stringify({ current: "a guess", new: "another one" });
        return (await fetch("/api/me/password", { method: "POST", headers, body })).status;
      });
    await until("guessing is held up", attempt, (status) => status === 429);
    await page.getByLabel("Present password").fill("a guess");
    await page.getByLabel("New password").fill("another one");
    await page.getByRole("button", { name: "Change password" }).click();
    await page.getByRole("alert").getByText(/^Too many attempts were wrong\. Try again in/).waitFor();
    await done();
  });

  it("shows where it is logged in, and logs out what isn't known", async () => {
    await make("dora");
    const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/605";
    const phone = await enter("dora", { userAgent: agent, allow: [/401 \(/] });
    const script = await enter("dora", { userAgent: "a script", allow: [/401 \(/] });
    const { page, done } = await enter("dora");
    await here(page).getByText("Chrome · Linux").waitFor();
    await rows(page).filter({ hasText: "Unknown browser" }).waitFor();
    assert.equal(await rows(page).count(), 3);
    assert.equal(await here(page).getByRole("button").count(), 0);
    await page.getByRole("button", { name: "Log out: Safari · iOS" }).focus();
    await page.keyboard.press("Enter");
    await rows(page).filter({ hasText: "Safari" }).waitFor({ state: "detached" });
    // A keyboard goes on where it was.
    const next = page.getByRole("button", { name: "Log out: Unknown browser" });
    await until("the next one has it", () => next.evaluate((it) => it === document.activeElement));
    await phone.page.reload();
    await phone.page.waitForURL(/\/login\?next=\/account/);
    await script.page.reload();
    await script.page.getByRole("heading", { name: "Your account" }).waitFor();
    await page.getByRole("button", { name: "Log out everywhere else" }).click();
    await next.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Log out everywhere else" }).waitFor({ state: "hidden" });
    await script.page.reload();
    await script.page.waitForURL(/\/login/);
    await page.getByRole("button", { name: "Log out", exact: true }).click();
    await page.waitForURL(/\/login/);
    for (const one of [phone, script]) await one.done();
    await done();
  });

  it("is for people with an account: a token has none", async () => {
    const { page, done } = await open("/account");
    await page.getByRole("heading", { name: "You haven't signed in with an account" }).waitFor();
    assert.equal(await page.getByRole("link", { name: /^Your account/ }).count(), 0);
    assert.equal(await page.getByRole("textbox").count(), 0);
    await done();
  });
});
