// How the bytes travel: in the order in which a film can be played, and through what is in the way.

import { beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { barOf, begin, chooseFiles, openPage, PATIENCE_MS, proxyBefore } from "./slipway.mjs";
import { rowOf, slowUploads, until, watchParts } from "./slipway.mjs";

const PARTS = "/api/videos/upload/";

describe("parts", { timeout: 8 * PATIENCE_MS }, () => {
  let server, browser, media, state, context, page;

  begin({ media: { long: true } }, (made) => ({ server, browser, media, state } = made));
  beforeEach(async () => {
    await context?.close();
    context = await browser.newContext({ storageState: state });
    page = await visit(server.base, [/409/]);
  });

  async function visit(base, allow = []) {
    const page = await openPage(context, allow);
    await page.goto(`${base}/`);
    await page.getByText("up to").waitFor();
    return page;
  }

  async function ready(page, film) {
    const row = rowOf(page, film);
    await row.getByText("Ready", { exact: true }).waitFor();
    return (await row.getByRole("link", { name: /^Watch/ }).getAttribute("href")).split("/").at(-1);
  }

  /** Fails unless the server has the very file, once. */
  async function assertArrived(id, film) {
    const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");
    const original = await context.request.get(`${server.base}/api/videos/${id}/original`);
    assert.equal(sum(await original.body()), sum(await readFile(media.at(film))));
    const left = await context.request.get(`${server.base}/api/uploads?state=partial`);
    assert.deepEqual((await left.json()).items, [], "nothing is left behind");
  }

  /** Notes the widest share that a row's bar shows, and whether it ever shows less. */
  async function watchBar(page, row) {
    await row.getByRole("progressbar").evaluate((bar) => {
      let most = 0;
      window.ranBackwards = false;
      const look = () => {
        // Without a value it says that something is being done, not how far.
        if (!bar.isConnected || bar.closest("li").dataset.phase === "processing") return;
        if (bar.hasAttribute("value")) {
          if (bar.value < most) window.ranBackwards = true;
          most = Math.max(most, bar.value);
        }
        requestAnimationFrame(look);
      };
      look();
    });
    return () => page.evaluate(() => window.ranBackwards);
  }

  it("of a film whose index is its end come so that it plays while it is being sent", async () => {
    const film = "longer-last.mp4";
    const { size } = await stat(media.at(film));
    const hurry = await slowUploads(page, size / 40);
    const seen = watchParts(page);
    const begins = page.waitForRequest(/initiate$/);
    await chooseFiles(page, [media.at(film)]);
    const { chunkSize } = (await begins).postDataJSON();
    const row = rowOf(page, film);
    await row.getByText("Can be watched already").waitFor();
    const start = (await readFile(media.at(film))).lastIndexOf("moov") - 4;
    const index = Math.floor(start / chunkSize);
    const order = [0, index, 1, 2];
    assert.ok(index > 9, "the index is far behind");
    assert.ok(start - index * chunkSize <= index, "a part begins with it, or hardly before");
    assert.equal(Math.ceil(size / chunkSize), index + 1, "which is the last");
    assert.deepEqual(seen.begun.slice(0, order.length), order, "head, index, and then in order");
    const link = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    const watching = await openPage(context);
    await watching.goto(server.base + link);
    const video = watching.getByLabel(/^Video:/);
    await until("there is something to play", () => video.evaluate((it) => it.readyState >= 2));
    await video.evaluate((it) => it.play());
    const time = () => video.evaluate((it) => it.currentTime);
    await until("time moves", time, (now) => now > 1);
    const id = link.split("/").at(-1);
    const { state, playable } = await (
      await context.request.get(`${server.base}/api/videos/${id}`)
    ).json();
    assert.deepEqual([state, playable], ["uploading", true]);
    await hurry();
    assert.equal(await ready(page, film), id);
    await assertArrived(id, film);
    assert.equal(new Set(seen.begun).size, seen.begun.length, "each was sent once");
    watching.assertQuiet();
    page.assertQuiet();
  });

  it("grow with the line, so that the next file is cut as it can bear", async () => {
    await page.evaluate(() => {
      const known = { bytesPerSecond: 6_000_000, at: Date.now() };
      localStorage.setItem("slipway.line", JSON.stringify(known));
    });
    await page.reload();
    await page.getByText("up to").waitFor();
    const begins = page.waitForRequest(/initiate$/);
    await chooseFiles(page, [media.at("large.mp4")]);
    const { chunkSize } = (await begins).postDataJSON();
    // Three of them share the line, and each should take five seconds.
    assert.equal(chunkSize, 10_000_000);
    await assertArrived(await ready(page, "large.mp4"), "large.mp4");
    page.assertQuiet();
  });

  it("of a small file are one", async () => {
    const seen = watchParts(page);
    await chooseFiles(page, [media.at("vp9.webm")]);
    await assertArrived(await ready(page, "vp9.webm"), "vp9.webm");
    assert.deepEqual(seen.begun, [0]);
    page.assertQuiet();
  });

  it("get smaller when something in between minds their size", async () => {
    const most = 300_000;
    const refused = [];
    const proxy = await proxyBefore(server, ({ headers }) => {
      const length = Number(headers["content-length"] ?? 0);
      if (length <= most) return null;
      refused.push(length);
      return 413;
    });
    try {
      const page = await visit(proxy.base, [/413/, /404/, /410/]);
      await slowUploads(page, 4_000_000);
      await chooseFiles(page, [media.at("longer-last.mp4")]);
      const row = rowOf(page, "longer-last.mp4");
      await until(
        "the bar moves",
        () => barOf(row),
        (share) => share > 0,
      );
      const ranBackwards = await watchBar(page, row);
      const id = await ready(page, "longer-last.mp4");
      assert.equal(await ranBackwards(), false);
      await assertArrived(id, "longer-last.mp4");
      // What was learnt is known to the next visit.
      const before = refused.length;
      assert.ok(before > 0, "the first ones were too large");
      await page.reload();
      await page.getByText("up to").waitFor();
      await chooseFiles(page, [media.at("faststart.mp4")]);
      await ready(page, "faststart.mp4");
      assert.equal(refused.length, before);
      page.assertQuiet();
    } finally {
      proxy.close();
    }
  });

  for (const [what, refuse] of [
    ["nothing knows their addresses", ({ url }) => (url.startsWith(PARTS) ? 404 : null)],
    ["their method isn't let through", ({ method }) => (method === "PUT" ? 405 : null)],
  ]) {
    it(`give way to tus where ${what}`, async () => {
      const proxy = await proxyBefore(server, refuse);
      try {
        const page = await visit(proxy.base, [/40[45]/]);
        const patched = [];
        page.on("request", (it) => it.method() === "PATCH" && patched.push(it.url()));
        await chooseFiles(page, [media.at("faststart.mp4")]);
        const row = rowOf(page, "faststart.mp4");
        await assertArrived(await ready(page, "faststart.mp4"), "faststart.mp4");
        assert.ok(patched.length > 0);
        assert.equal(await row.getByText("Interrupted").count(), 0);
        page.assertQuiet();
      } finally {
        proxy.close();
      }
    });
  }

  it("that have arrived are kept while a proxy can't find the server", async () => {
    let away = false;
    const proxy = await proxyBefore(server, ({ url }) =>
      away && url.startsWith(PARTS) ? 404 : null,
    );
    try {
      const page = await visit(proxy.base, [/404/]);
      const lift = await slowUploads(page, 3_000_000);
      const seen = watchParts(page);
      await chooseFiles(page, [media.at("large.mp4")]);
      await until("parts are there", () => seen.stored.length > 3);
      away = true;
      await rowOf(page, "large.mp4").getByText("Interrupted").waitFor();
      const { stored, begun } = structuredClone(seen);
      away = false;
      await lift();
      await assertArrived(await ready(page, "large.mp4"), "large.mp4");
      const again = seen.begun.slice(begun.length).filter((index) => stored.includes(index));
      assert.deepEqual(again, []);
      page.assertQuiet();
    } finally {
      proxy.close();
    }
  });

  it("go on while one of them has to be sent again", async () => {
    let failed = false;
    const proxy = await proxyBefore(server, ({ url }) => {
      if (failed || !url.endsWith("/parts/5")) return null;
      failed = true;
      return 502;
    });
    try {
      const page = await visit(proxy.base, [/502/]);
      await slowUploads(page, 6_000_000);
      const seen = watchParts(page);
      let asked = 0;
      page.on("request", (it) => {
        const isQuestion = it.method() === "GET" && new URL(it.url()).pathname.startsWith(PARTS);
        if (isQuestion) asked += 1;
      });
      await chooseFiles(page, [media.at("large.mp4")]);
      const row = rowOf(page, "large.mp4");
      await row.evaluate((row) => {
        const seen = new Set([row.dataset.phase]);
        const look = () => seen.add(row.dataset.phase);
        new MutationObserver(look).observe(row, { attributeFilter: ["data-phase"] });
        window.phases = seen;
      });
      await assertArrived(await ready(page, "large.mp4"), "large.mp4");
      assert.ok(
        !(await page.evaluate(() => window.phases.has("retrying"))),
        "it never stood still",
      );
      assert.equal(asked, 1, "the server was asked what it has");
      const twice = seen.begun.filter((it, at) => seen.begun.indexOf(it) !== at);
      assert.deepEqual(twice, [5]);
      page.assertQuiet();
    } finally {
      proxy.close();
    }
  });

  it("wait as long as they are asked to, unless the person won't", async () => {
    let busy = false;
    const refuse = ({ method }) => (busy && method === "PUT" ? 503 : null);
    const proxy = await proxyBefore(server, refuse, { "Retry-After": "3600" });
    try {
      const page = await visit(proxy.base, [/503/]);
      const lift = await slowUploads(page, 3_000_000);
      const seen = watchParts(page);
      await chooseFiles(page, [media.at("large.mp4")]);
      await until("parts are there", () => seen.stored.length > 3);
      busy = true;
      const row = rowOf(page, "large.mp4");
      await row.getByText("next try in 1 hr").waitFor();
      const tried = seen.begun.length;
      await page.evaluate(
        () =>
          new Promise((drawn) => {
            window.dispatchEvent(new Event("online"));
            requestAnimationFrame(() => requestAnimationFrame(drawn));
          }),
      );
      assert.ok(await row.getByText("Interrupted").isVisible());
      assert.equal(seen.begun.length, tried);
      busy = false;
      await lift();
      await row.getByRole("button", { name: /^Try again/ }).click();
      await assertArrived(await ready(page, "large.mp4"), "large.mp4");
      page.assertQuiet();
    } finally {
      proxy.close();
    }
  });

  it("aren't asked for by an upload that was begun by tus", async () => {
    let isClosed = true;
    const proxy = await proxyBefore(server, ({ url }) =>
      isClosed && url.startsWith(PARTS) ? 404 : null,
    );
    try {
      const page = await visit(proxy.base, [/404/]);
      const lift = await slowUploads(page, 3_000_000);
      await chooseFiles(page, [media.at("large.mp4")]);
      const row = rowOf(page, "large.mp4");
      await until(
        "the bar moves",
        () => barOf(row),
        (share) => share > 0.1,
      );
      page.on("dialog", (dialog) => void dialog.accept());
      await page.reload();
      await row.getByText("Unfinished").waitFor();
      isClosed = false;
      await lift();
      const asked = [];
      page.on("request", (it) => asked.push([it.method(), it.headers()["upload-offset"]]));
      await chooseFiles(page, [media.at("large.mp4")]);
      await assertArrived(await ready(page, "large.mp4"), "large.mp4");
      const offsets = asked.filter(([method]) => method === "PATCH").map(([, offset]) => offset);
      assert.ok(Number(offsets[0]) > 0, `went on from byte ${offsets[0]}`);
      assert.ok(!asked.some(([method]) => method === "PUT"));
      page.assertQuiet();
    } finally {
      proxy.close();
    }
  });

  it("are compared with the file where this browser doesn't know the upload", async () => {
    await slowUploads(page, 3_000_000);
    const before = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    await until("parts are there", () => before.stored.length > 3);
    await context.close();

    context = await browser.newContext({ storageState: state });
    page = await visit(server.base);
    const row = rowOf(page, "large.mp4");
    await row.getByText("Unfinished").waitFor();
    const changed = await readFile(media.at("large.mp4"));
    changed[100_000] ^= 1;
    await writeFile(media.at("changed.mp4"), changed);
    const choose = row.getByLabel(/^Choose the file again/).and(page.locator("input"));
    await choose.setInputFiles(media.at("changed.mp4"));
    await row.getByText("This isn't the same file").waitFor();

    const after = watchParts(page);
    await choose.setInputFiles(media.at("large.mp4"));
    await assertArrived(await ready(page, "large.mp4"), "large.mp4");
    const again = after.begun.filter((index) => before.stored.includes(index));
    assert.deepEqual(again, []);
    page.assertQuiet();
  });

  it("are left alone by a second tab, also after a pause", async () => {
    const lift = await slowUploads(page, 3_000_000);
    const seen = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => seen.stored.length > 3);
    await row.getByRole("button", { name: /^Pause/ }).click();
    await row.getByRole("button", { name: /^Resume/ }).click();
    const stored = seen.stored.length;
    await until("it goes on", () => seen.stored.length > stored);
    const data = { filename: "nobody.mp4", size: 9 };
    const headers = { Origin: server.base };
    await context.request.post(`${server.base}${PARTS}initiate`, { data, headers });
    const second = await visit(server.base);
    const nobodys = rowOf(second, "nobody.mp4");
    await nobodys.getByText("Unfinished").waitFor();
    assert.equal(await rowOf(second, "large.mp4").count(), 0);
    await nobodys.getByRole("button", { name: /^Discard/ }).click();
    await nobodys.waitFor({ state: "detached" });
    await lift();
    await assertArrived(await ready(page, "large.mp4"), "large.mp4");
    page.assertQuiet();
    second.assertQuiet();
  });

  it("are brought by two pages at once without a fight", async () => {
    const lift = await slowUploads(page, 3_000_000);
    const first = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    await until("parts are there", () => first.stored.length > 3);
    // Another browser doesn't see that this one is sending.
    const other = await browser.newContext({ storageState: state });
    try {
      const page2 = await openPage(other, [/409/]);
      await page2.goto(`${server.base}/`);
      const row = rowOf(page2, "large.mp4");
      await row.getByText("Unfinished").waitFor();
      await chooseFiles(page2, [media.at("large.mp4")]);
      const id = await ready(page2, "large.mp4");
      await lift();
      assert.equal(await ready(page, "large.mp4"), id);
      await assertArrived(id, "large.mp4");
      page2.assertQuiet();
    } finally {
      await other.close();
    }
  });
});
