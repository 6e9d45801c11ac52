#!/usr/bin/env node
// What the upload page costs the browser: its memory while sparse files of growing sizes are sent
// and summed, and the time of its scripts and frames with ten thousand files in the list.
//
//   scripts/bench-upload-page.mjs [MIB ...]        default: 64 512 2048; 0: only the list
//
// Wants a build (SLIPWAY_BIN, default the debug one), the built pages and Chromium. CPU seconds, so
// that other work on the machine moves them little.

import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, chooseFiles, launch, logIn, openPage, rowOf, until } from "../tests/browser/slipway.mjs";

const MIB = 1 << 20;
const sizes = process.argv.slice(2).map(Number);
const dir = await mkdtemp(join(tmpdir(), "slipway-bench-"));
const [server, browser] = await Promise.all([
  Server.start({ SLIPWAY_UPLOAD__ACCEPT: '["*/*"]' }),
  launch(),
]);
const context = await browser.newContext({ storageState: await logIn(browser, server) });
const processes = await browser.newBrowserCDPSession();

/** A fresh page, and what the browser tells of it. */
async function visit() {
  const page = await openPage(context);
  await page.goto(`${server.base}/`);
  await page.getByText("up to").waitFor();
  const line = await context.newCDPSession(page);
  await line.send("Performance.enable");
  const numbers = async () => {
    const { metrics } = await line.send("Performance.getMetrics");
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  const heap = async () => {
    await line.send("HeapProfiler.collectGarbage");
    return (await numbers()).JSHeapUsedSize;
  };
  return { page, numbers, heap };
}

/** MiB that the fattest page process has resident (`VmRSS`), or had at most (`VmHWM`). */
async function resident(which) {
  const { processInfo } = await processes.send("SystemInfo.getProcessInfo");
  const pages = processInfo.filter(({ type }) => type === "renderer");
  const each = pages.map(async ({ id }) => {
    const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
    return Number(new RegExp(`${which}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  });
  return Math.round(Math.max(...(await Promise.all(each))));
}

for (const mib of sizes.length > 0 ? sizes.filter(Boolean) : [64, 512, 2048]) {
  const { page, heap } = await visit();
  const file = join(dir, `sparse-${mib}.bin`);
  await writeFile(file, "");
  await truncate(file, mib * MIB);
  const before = [await heap(), await resident("VmRSS")];
  await chooseFiles(page, [file]);
  const ready = rowOf(page, `sparse-${mib}.bin`).getByText("Ready", { exact: true });
  await until("all of it is there", () => ready.count());
  const after = [await heap(), await resident("VmRSS"), await resident("VmHWM")];
  const kib = (bytes) => `${Math.round(bytes / 1024)} KiB`;
  console.log(
    `${mib} MiB: heap ${kib(before[0])} -> ${kib(after[0])}, ` +
      `resident ${before[1]} -> ${after[1]} MiB, most ${after[2]} MiB`,
  );
  await page.close();
}

const { page, numbers } = await visit();
await page.evaluate(() => {
  window.long = [];
  const note = (list) => window.long.push(...list.getEntries().map((it) => it.duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
});

/** Does something with the long list, and says what it cost until the page is idle again. */
async function measured(what, does) {
  const before = await numbers();
  await page.evaluate(() => (window.long.length = 0));
  await does();
  await page.evaluate(() => new Promise((ok) => requestIdleCallback(ok)));
  const after = await numbers();
  const long = await page.evaluate(() => window.long);
  const ms = (name) => `${Math.round((after[name] - before[name]) * 1000)} ms`;
  console.log(
    `${what}: script ${ms("ScriptDuration")}, style ${ms("RecalcStyleDuration")}, ` +
      `layout ${ms("LayoutDuration")}, ${long.length} long tasks, ` +
      `longest ${Math.round(Math.max(0, ...long))} ms`,
  );
}

// To make them takes the browser longer than anything that the page does with them.
await page.evaluate(() => {
  window.files = Array.from({ length: 10_000 }, (_, at) => new File(["x"], `file-${at}.txt`));
});
await measured("10,000 files added and paused", () =>
  page.evaluate(() => {
    const upload = document.querySelector("slipway-upload");
    upload.addFiles(window.files);
    upload.pause();
  }),
);
const other = await context.newPage();
await measured("another tab for a while, and back", async () => {
  await other.bringToFront();
  await other.evaluate(() => new Promise((ok) => requestIdleCallback(ok)));
  await page.bringToFront();
});
await measured("a hundred screens scrolled through", () =>
  page.evaluate(async () => {
    for (let n = 1; n <= 100; n += 1) {
      scrollTo(0, (n * document.documentElement.scrollHeight) / 100);
      await new Promise((ok) => requestAnimationFrame(ok));
    }
  }),
);
await browser.close();
await server.stop();
await rm(dir, { recursive: true, force: true });
