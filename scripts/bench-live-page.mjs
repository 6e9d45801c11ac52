// A browser for scripts/bench-live: opens pages of a running server and says when pictures move.
//
//   bench-live-page.mjs LOGIN-LINK                  then reads ids of videos to be watched
//   bench-live-page.mjs LOGIN-LINK MBIT FILE        the page sends the file itself, at that rate
//
// Prints a line for each thing that happens: `open`, `shown`, and, where the page sends, `sent`.

import { createInterface } from "node:readline";
import { launch, openPage } from "../tests/browser/slipway.mjs";

const [link, mbit, file] = process.argv.slice(2);
const { origin } = new URL(link);
const browser = await launch();
const context = await browser.newContext();
const page = await openPage(context);
await page.goto(link);
await page.getByRole("button", { name: "Open Slipway" }).click();
await page.waitForURL(`${origin}/`);

/** Opens a video's page, and returns once it shows moving pictures. */
async function watch(id) {
  const watching = await openPage(context);
  await watching.goto(`${origin}/watch/${id}`);
  await watching.waitForFunction(
    () => {
      const video = document.querySelector("video");
      if (!video) return false;
      video.muted = true;
      if (video.paused && video.readyState >= 2) void video.play().catch(() => undefined);
      return video.readyState >= 2 && video.currentTime > 0;
    },
    null,
    { polling: 50 },
  );
  console.log("shown");
}

if (file) {
  const line = await context.newCDPSession(page);
  await line.send("Network.enable");
  await line.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: (Number(mbit) * 1e6) / 8,
  });
  await page.getByText("up to").waitFor();
  console.log("open");
  await page.setInputFiles("input[type=file]", [file]);
  const videos = async () => (await (await context.request.get(`${origin}/api/videos`)).json()).items;
  const until = async (found) => {
    for (;;) {
      const it = (await videos())[0];
      if (it && found(it)) return it;
      await new Promise((tick) => setTimeout(tick, 50));
    }
  };
  const { id } = await until(() => true);
  const shown = watch(id);
  await until((it) => it.uploadedAt);
  console.log("sent");
  await shown;
} else console.log("open");
for await (const id of createInterface({ input: process.stdin })) await watch(id);
await browser.close();
