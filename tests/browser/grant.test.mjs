// The page for somebody who was sent a link: one upload, without an account.

import { after, describe, it } from "node:test";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { begin, chooseFiles, openPage, PATIENCE_MS, until } from "./slipway.mjs";

describe("a link that is good for one upload", { timeout: 6 * PATIENCE_MS }, () => {
  let server, browser, media, token, theirs;

  begin({ media: {}, isStrange: true }, async (made) => {
    ({ server, browser, media } = made);
    token = (await readFile(join(server.dir, "data/admin-token"), "utf8")).trim();
  });
  after(() => theirs?.close());

  async function grant(fields = {}) {
    const answer = await fetch(`${server.base}/api/upload-grants`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ owner: "ann", expiresIn: 600, ...fields }),
    });
    assert.equal(answer.status, 201);
    return answer.json();
  }

  const stateOf = async ({ id }) => {
    const answer = await fetch(`${server.base}/api/upload-grants?owner=ann`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    return (await answer.json()).items.find((item) => item.id === id);
  };

  it("takes one file, shows the film, and says later that it has arrived", async () => {
    const made = await grant({ metadata: { title: "Application", visibility: "unlisted" } });
    const context = await browser.newContext();
    const page = await openPage(context);
    const told = [];
    page.on("request", (request) => {
      if (request.url().includes("slg_")) told.push(request.url());
      if ((request.headers().referer ?? "").includes("slg_")) told.push("a referrer");
    });
    await page.goto(made.url);
    assert.equal(await page.locator("slipway-header").count(), 0, "no menu of the operator's");
    await chooseFiles(page, [media.at("faststart.mp4")]);
    await page.frameLocator("iframe").locator("slipway-player").waitFor();
    const kept = await stateOf(made);
    assert.equal(kept.state, "used");
    await page.reload();
    await page.getByText("Your file has arrived").waitFor();
    await page.frameLocator("iframe").locator("slipway-player").waitFor();
    assert.deepEqual(told, [], "no address holds the grant");
    page.assertQuiet();
    await context.close();
  });

  it("says that a link is over", async () => {
    const made = await grant();
    const ended = await fetch(`${server.base}/api/upload-grants/${made.id}`, {
      method: "DELETE",
      headers: { Authorization: `Bearer ${token}` },
    });
    assert.equal(ended.status, 204);
    const context = await browser.newContext();
    const page = await openPage(context, [/401/]);
    await page.goto(made.url);
    await page.getByText("This link can't be used").waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("gives <slipway-upload> on another site's page all that it needs", async () => {
    const made = await grant();
    const html = `<!doctype html><html lang="en"><title>Theirs</title>
      <script type="module" src="${server.base}/static/slipway.js"></script>
      <slipway-upload endpoint="${made.endpoint}" max-files="1"></slipway-upload>`;
    theirs = createServer((_, answer) => {
      answer.writeHead(200, { "Content-Type": "text/html" }).end(html);
    });
    await new Promise((ok) => theirs.listen(0, "127.0.0.1", ok));
    const context = await browser.newContext();
    const page = await openPage(context, [/favicon/]);
    await page.goto(`http://127.0.0.1:${theirs.address().port}`);
    await chooseFiles(page, [media.at("faststart.mp4")]);
    await until("it has begun", async () => (await stateOf(made)).state === "used");
    page.assertQuiet();
    await context.close();
  });
});
