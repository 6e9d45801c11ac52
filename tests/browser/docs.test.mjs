// The API's page: everything in the document is there, for strangers too, and links lead somewhere.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, Server, launch, openPage } from "./slipway.mjs";

describe("the API's page", { timeout: 2 * PATIENCE_MS }, () => {
  let server, browser, document;

  before(async () => {
    [server, browser] = await Promise.all([Server.start(), launch()]);
    document = await (await fetch(`${server.base}/openapi.json`)).json();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const open = async (hash = "") => {
    const context = await browser.newContext();
    const page = await openPage(context);
    await page.goto(`${server.base}/docs${hash}`);
    await page.getByRole("heading", { name: "API", exact: true }).waitFor();
    return { page, close: () => context.close() };
  };

  it("shows every operation, type and code to everybody, from this server alone", async () => {
    const { page, close } = await open();
    const ids = Object.values(document.paths)
      .flatMap((item) => Object.values(item))
      .map((operation) => operation.operationId);
    const types = Object.keys(document.components.schemas).filter((name) => name !== "ErrorCode");
    const shown = await page.locator(".docs-entry").evaluateAll((all) => all.map((one) => one.id));
    assert.deepEqual(shown.sort(), [...ids, ...types.map((name) => `type-${name}`)].sort());
    const codes = document.components.schemas.ErrorCode["x-codes"];
    const rows = await page.locator("#errors tbody tr td:first-child").allTextContents();
    assert.deepEqual(rows, codes.map(({ code }) => code));
    const foreign = await page.evaluate(() =>
      performance.getEntriesByType("resource").filter(({ name }) => !name.startsWith(origin)),
    );
    assert.deepEqual(foreign, []);
    page.assertQuiet();
    await close();
  });

  it("opens what a link names, and leads on to its types", async () => {
    const { page, close } = await open("#initiateUpload");
    const entry = page.locator("#initiateUpload");
    await entry.getByText("Answer · 201 · application/json").waitFor();
    await entry.getByRole("link", { name: "PartUrl", exact: true }).click();
    await page.locator("#type-PartUrl").getByText("expiresAt").waitFor();
    page.assertQuiet();
    await close();
  });

  it("finds by words, and every link inside leads somewhere", async () => {
    const { page, close } = await open();
    await page.getByRole("searchbox").fill("captions delete");
    assert.deepEqual(
      await page.locator(".docs-entry:visible").evaluateAll((all) => all.map((one) => one.id)),
      ["deleteCaptions"],
    );
    await page.getByRole("searchbox").fill("no such thing");
    await page.getByText("Nothing has all of these words.").waitFor();
    const lost = await page.evaluate(() =>
      [...document.querySelectorAll("slipway-docs a[href^='#']")]
        .map((link) => link.getAttribute("href").slice(1))
        .filter((id) => !document.getElementById(id)),
    );
    assert.deepEqual(lost, []);
    page.assertQuiet();
    await close();
  });
});
