// The API's page: everything in the document is there, for strangers too, and links lead somewhere.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { begin, PATIENCE_MS } from "./slipway.mjs";

describe("the API's page", { timeout: 2 * PATIENCE_MS }, () => {
  let open, document;

  begin({ isStrange: true }, async (made) => {
    document = await (await fetch(`${made.server.base}/openapi.json`)).json();
    open = async (hash = "") => {
      const opened = await made.open(`/docs${hash}`);
      await opened.page.getByRole("heading", { name: "API", exact: true }).waitFor();
      return opened;
    };
  });

  it("shows every operation, type and code to everybody, from this server alone", async () => {
    const { page, done } = await open();
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
    await done();
  });

  it("opens what a link names, and leads on to its types", async () => {
    const { page, done } = await open("#initiateUpload");
    const entry = page.locator("#initiateUpload");
    await entry.getByText("Answer · 201 · application/json").waitFor();
    await entry.getByRole("link", { name: "PartUrl", exact: true }).click();
    await page.locator("#type-PartUrl").getByText("expiresAt").waitFor();
    await done();
  });

  it("finds by words, and every link inside leads somewhere", async () => {
    const { page, done } = await open();
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
    await done();
  });
});
