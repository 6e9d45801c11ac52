// Going on: in another tab, after the line was cut, with files that the browser finds again by
// itself; and what a very large file costs the page.

import { afterEach, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { barOf, begin, chooseFiles, openPage, PATIENCE_MS } from "./slipway.mjs";
import { rowOf, slowUploads, until, watchParts } from "./slipway.mjs";

const SLOW = 3_000_000;
const MIB = 1 << 20;

describe("going on", { timeout: 10 * PATIENCE_MS }, () => {
  let server, browser, media, state, context, page;

  begin({ media: {}, env: { SLIPWAY_UPLOAD__ACCEPT: '["*/*"]' } }, (made) => ({ server, browser, media, state } = made));
  beforeEach(async () => {
    context = await browser.newContext({ storageState: state });
    page = await visit();
  });
  afterEach(() => context.close());

  async function visit(allow = []) {
    const page = await openPage(context, [/ERR_INTERNET_DISCONNECTED/, ...allow]);
    await page.goto(`${server.base}/`);
    await page.getByText("up to").waitFor();
    return page;
  }

  const ready = (page, name) => rowOf(page, name).getByText("Ready", { exact: true }).waitFor();
  const choose = (page, name) =>
    rowOf(page, name)
      .getByLabel(/^Choose the file again/)
      .and(page.locator("input"));

  it("leaves a file to the tab that sends it, and takes over when that one is closed", async () => {
    await slowUploads(page, SLOW);
    const first = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => first.stored.length > 2);
    // This tab was reloaded and knows of the upload; then another one goes on with it.
    page.on("dialog", (dialog) => void dialog.accept());
    await page.reload();
    const stored = [...first.stored];
    await row.getByText("Unfinished").waitFor();
    const second = await visit();
    await slowUploads(second, SLOW);
    const theirs = watchParts(second);
    await choose(second, "large.mp4").setInputFiles(media.at("large.mp4"));
    await until("it goes on there", () => theirs.stored.length > 2);

    const ours = watchParts(page);
    await choose(page, "large.mp4").setInputFiles(media.at("large.mp4"));
    await row.getByText("Another tab is sending this file").waitFor();
    assert.deepEqual(ours.begun, []);
    await second.close();
    await ready(page, "large.mp4");
    const before = [...stored, ...theirs.stored];
    assert.deepEqual(
      ours.begun.filter((index) => before.includes(index)),
      [],
      "none came twice",
    );
    page.assertQuiet();
  });

  it("waits while the network is away, and needs nobody's hand when it is back", async () => {
    const line = await context.newCDPSession(page);
    await line.send("Network.enable");
    const set = (offline, uploadThroughput) =>
      line.send("Network.emulateNetworkConditions", {
        offline,
        latency: 0,
        downloadThroughput: -1,
        uploadThroughput,
      });
    await set(false, SLOW);
    const seen = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => seen.stored.length > 3);
    await set(true, SLOW);
    await row.getByText("Interrupted").waitFor();
    await row.getByText("No connection to the server").waitFor();
    const { stored, begun } = structuredClone(seen);
    await set(false, -1);
    await ready(page, "large.mp4");
    const twice = seen.begun.slice(begun.length).filter((index) => stored.includes(index));
    assert.deepEqual(twice, []);
    page.assertQuiet();
  });

  it("goes on by itself on another day where the browser may open the file", async () => {
    const bytes = [...(await readFile(media.at("large.mp4"))).subarray(0, 3 * MIB)];
    // The browser's chooser gives handles; here of files that belong to the site itself.
    await context.addInitScript(() => {
      window.showOpenFilePicker = async () => {
        const folder = await navigator.storage.getDirectory();
        return [await folder.getFileHandle("kept.mp4")];
      };
    });
    await page.reload();
    await page.getByText("up to").waitFor();
    await page.evaluate(async (bytes) => {
      const folder = await navigator.storage.getDirectory();
      const writable = await (
        await folder.getFileHandle("kept.mp4", { create: true })
      ).createWritable();
      await writable.write(new Uint8Array(bytes));
      await writable.close();
    }, bytes);
    await slowUploads(page, 400_000);
    const before = watchParts(page);
    await page.getByRole("button", { name: "Choose files" }).click();
    await until("parts are there", () => before.stored.length > 1);
    page.on("dialog", (dialog) => void dialog.accept());
    await page.close();
    page = await openPage(context);
    const after = watchParts(page);
    await page.goto(`${server.base}/`);
    const row = rowOf(page, "kept.mp4");
    await until(
      "it has arrived",
      () => row.getAttribute("data-phase"),
      (it) => it === "ready" || it === "failed",
    );
    assert.deepEqual(
      after.begun.filter((index) => before.stored.includes(index)),
      [],
    );
    assert.ok(after.stored.length > 0);
    page.assertQuiet();
  });

  it("needs no more memory for a file of two gibibytes than for a small one", async () => {
    const small = media.at("small.bin");
    const huge = media.at("huge.bin");
    await writeFile(small, "");
    await truncate(small, 8 * MIB);
    await writeFile(huge, "");
    await truncate(huge, 2048 * MIB);
    const cdp = await browser.newBrowserCDPSession();
    /** Most bytes that any of the browser's page processes has held so far. */
    const peak = async () => {
      const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
      const pages = processInfo.filter(({ type }) => type === "renderer");
      let most = 0;
      for (const { id } of pages) {
        const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
        most = Math.max(most, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
      }
      return most;
    };
    await chooseFiles(page, [small]);
    await ready(page, "small.bin");
    const before = await peak();
    const line = await context.newCDPSession(page);
    await line.send("Performance.enable");
    const heap = async () => {
      const { metrics } = await line.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "JSHeapUsedSize").value;
    };
    await line.send("HeapProfiler.collectGarbage");
    const heapBefore = await heap();
    await chooseFiles(page, [huge]);
    const row = rowOf(page, "huge.bin");
    // However slow the machine is: as long as bytes leave, it is waited for.
    const left = () => barOf(row).catch(() => 1);
    for (let share = 0; share < 1; ) {
      const before = share;
      share = await until(`more than ${before} have left`, left, (it) => it > before || it === 1);
    }
    await ready(page, "huge.bin");
    await line.send("HeapProfiler.collectGarbage");
    const grown = (await heap()) - heapBefore;
    const more = (await peak()) - before;
    assert.ok(grown < 8 * MIB, `the heap grew by ${Math.round(grown / MIB)} MiB`);
    assert.ok(more < 192 * MIB, `the page's process had ${Math.round(more / MIB)} MiB more`);
    console.log(`heap ${grown}, process ${more} of ${before}`);
    page.assertQuiet();
  });
});
