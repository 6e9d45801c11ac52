// hls.js, Shaka Player and dash.js on what the server publishes: every film to its end, through a
// switch of quality and a jump, without an error or a hole, with picture, sound and words.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { openAsBlob } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PATIENCE_MS, Server, launch, makeMedia, until } from "../browser/slipway.mjs";
import { servePage } from "./page.mjs";

const PLAYERS = [
  { name: "hls.js", start: "startHls", list: "hls" },
  { name: "Shaka on HLS", start: "startShaka", list: "hls" },
  { name: "Shaka on DASH", start: "startShaka", list: "dash" },
  { name: "dash.js", start: "startDash", list: "dash" },
];

/** What is played: the kinds of films that are made in different ways. */
const FILMS = [
  { file: "moov-last.mp4", what: "a copied top quality", sound: true, picture: true },
  { file: "one-key-5s.mp4", what: "encoded qualities", sound: true, picture: true },
  { file: "silent.mp4", what: "no sound", sound: false, picture: true },
  { file: "sound.mp3", what: "sound alone", sound: true, picture: false },
  { file: "texts.mkv", what: "words", sound: true, picture: true, texts: ["de", "en", "en"] },
];

/** A film that speaks German with one tone and English with another. */
const TONES = "tones.mkv";
const TONE_OF = { de: 400, en: 1200 };

/** Makes that film. */
function makeTones(path) {
  const sine = (hertz) => ["-f", "lavfi", "-i", `sine=frequency=${hertz}:sample_rate=48000:duration=20`];
  execFileSync("ffmpeg", [
    ...["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=20"],
    ...[...sine(TONE_OF.de), ...sine(TONE_OF.en), "-map", "0", "-map", "1", "-map", "2"],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p"],
    ...["-c:a", "aac", "-ac", "2", "-metadata:s:a:0", "language=ger"],
    ...["-metadata:s:a:1", "language=eng", "-disposition:a:0", "default", path],
  ]);
}

/** Fast enough to save time, slow enough that Chromium still decodes sound. */
const RATE = 3;

async function upload(server, path) {
  const token = (await readFile(join(server.dir, "data/admin-token"), "utf8")).trim();
  const form = new FormData();
  form.set("file", await openAsBlob(path), path.split("/").at(-1));
  const headers = { Authorization: `Bearer ${token}` };
  const made = await fetch(`${server.base}/api/videos`, { method: "POST", headers, body: form });
  assert.equal(made.status, 201, await made.clone().text());
  const { videoId } = await made.json();
  const look = async () => (await fetch(`${server.base}/api/videos/${videoId}`, { headers })).json();
  return { id: videoId, look };
}

describe("players of others", { timeout: 10 * PATIENCE_MS }, () => {
  let server, browser, media, site, context;
  const films = new Map();

  before(async () => {
    [server, browser, media, site] = await Promise.all([
      Server.start(),
      launch(),
      makeMedia({ long: true, more: ["one-key-5s.mp4", "silent.mp4", "sound.mp3", "texts.mkv", "spans.mp4"] }),
      servePage(),
    ]);
    context = await browser.newContext();
    makeTones(media.at(TONES));
    films.set(TONES, await upload(server, media.at(TONES)));
    for (const { file } of FILMS) films.set(file, await upload(server, media.at(file)));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    site?.stop();
    await media?.remove();
  });

  async function open(start, url) {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(site.address);
    await page.evaluate(
      async ([start, url, rate]) => {
        window.player = await window[start](url);
        window.video.defaultPlaybackRate = rate;
        window.video.playbackRate = rate;
      },
      [start, url, RATE],
    );
    const ranges = () =>
      page.evaluate(() =>
        Array.from({ length: window.video.buffered.length }, (_, at) => [
          window.video.buffered.start(at),
          window.video.buffered.end(at),
        ]),
      );
    const get = (name) => page.evaluate((name) => window.video[name], name);
    return { page, ranges, get };
  }

  /** Plays from where it is to the end and checks that nothing is missing from `from` on. */
  async function toTheEnd({ page, ranges, get }, from, duration, what) {
    await page.evaluate(() => window.video.play());
    const state = () =>
      page.evaluate(() => [window.video.currentTime, window.video.paused, window.errors]);
    const over = async () => ({ over: await get("ended"), ranges: await ranges(), state: await state() });
    await until(`${what}: the end is reached`, over, (it) => it.over);
    const faults = () => window.errors.filter((error) => !window.waits?.includes(error));
    assert.deepEqual(await page.evaluate(faults), [], what);
    const covering = (await ranges()).filter(([, end]) => end > from + 0.1);
    assert.equal(covering.length, 1, `${what}: a hole in ${JSON.stringify(covering)}`);
    const [[start, end]] = covering;
    assert.ok(start <= from + 0.1 && Math.abs(end - duration) < 0.15, `${what}: ${start} to ${end}`);
    assert.ok(Math.abs((await get("currentTime")) - duration) < 0.3, what);
  }

  for (const film of FILMS) {
    for (const player of PLAYERS) {
      it(`${player.name} plays ${film.what} to the end`, async () => {
        const { look } = films.get(film.file);
        const video = await until("it is ready", look, ({ state }) => state === "ready");
        const shown = await open(player.start, server.base + video.playback[player.list]);
        const { page, get } = shown;
        const what = `${player.name}, ${film.file}`;
        const heights = video.renditions.filter((one) => one.kind === "video").map((one) => one.height);
        const levels = await page.evaluate(() => window.player.levels());
        const offered = [...levels].filter((height) => height > 0).sort((a, b) => a - b);
        assert.deepEqual(offered, heights.sort((a, b) => a - b), what);

        if (film.texts) {
          assert.deepEqual(await page.evaluate(() => window.player.texts()), film.texts, what);
          await page.evaluate(() => window.player.showText(0));
        }
        await page.evaluate(() => window.video.play());
        await until(`${what}: time moves`, () => get("currentTime"), (now) => now > 0.5);
        await page.evaluate(() => window.video.pause());
        if (film.texts) await words(shown, what);
        const from = video.source.duration * 0.6;
        await page.evaluate((from) => (window.video.currentTime = from), from);
        if (heights.length > 1) {
          await until(`${what}: the jump is over`, () => get("seeking"), (it) => !it);
          const now = await get("videoHeight");
          const other = heights.find((height) => height !== now);
          await page.evaluate((height) => window.player.choose(height), other);
          // Halted, the element shows a picture of the new size only for a new place.
          await page.evaluate(() => (window.video.currentTime += 0.05));
          await until(`${what}: ${other} lines`, () => get("videoHeight"), (it) => it === other);
        }
        await toTheEnd(shown, from, video.source.duration, what);
        const seen = await page.evaluate(() => ({
          frames: window.video.getVideoPlaybackQuality().totalVideoFrames,
          bytes: window.video.webkitAudioDecodedByteCount,
        }));
        assert.equal(seen.frames > 5, film.picture, `${what}: ${JSON.stringify(seen)}`);
        assert.equal(seen.bytes > 500, film.sound, `${what}: ${JSON.stringify(seen)}`);
        await page.close();
      });
    }
  }

  /** The first text track is shown, at the times that it has in the film. */
  async function words({ page }, what) {
    await page.evaluate(() => (window.video.currentTime = 5.5));
    const [cue] = await until(`${what}: words`, () =>
      page.evaluate(() => {
        const showing = [...window.video.textTracks].filter((track) => track.mode === "showing");
        const active = showing.flatMap((track) => [...(track.activeCues ?? [])]);
        return active.map((cue) => [cue.startTime, cue.endTime, cue.text]);
      }),
      (cues) => cues.some(([start]) => start > 2),
    );
    assert.ok(Math.abs(cue[0] - 5) < 0.1 && Math.abs(cue[1] - 7) < 0.1, `${what}: ${cue}`);
    assert.match(cue[2], /zwei\s+Zeilen/, what);
  }

  for (const player of PLAYERS) {
    it(`${player.name} changes the language`, async () => {
      const { look } = films.get(TONES);
      const video = await until("it is ready", look, ({ state }) => state === "ready");
      const shown = await open(player.start, server.base + video.playback[player.list]);
      const { page, get } = shown;
      const what = `${player.name}, ${TONES}`;
      assert.deepEqual(await page.evaluate(() => window.player.sounds()), ["de", "en"], what);
      await page.evaluate(() => window.listen());
      const tone = () => page.evaluate(() => window.tone());
      const isHeard = (hertz) => (found) => Math.abs(found - hertz) < 60;
      await page.evaluate(() => window.video.play());
      await until(`${what}: German is heard`, tone, isHeard(TONE_OF.de));
      await page.evaluate(() => window.player.chooseSound(1));
      await until(`${what}: English is heard`, tone, isHeard(TONE_OF.en));
      await page.evaluate(() => window.video.pause());
      await page.evaluate(() => window.player.chooseSound(0));
      await page.evaluate(() => (window.video.currentTime = 1));
      await page.evaluate(() => window.video.play());
      await until(`${what}: German is heard again`, tone, isHeard(TONE_OF.de));
      await toTheEnd(shown, await get("currentTime"), video.source.duration, what);
      await page.close();
    });
  }

  it("hls.js changes the quality at once, without a hole and at the same times", async () => {
    const { look } = films.get("moov-last.mp4");
    const video = await until("it is ready", look, ({ state }) => state === "ready");
    const heights = video.renditions.filter((one) => one.kind === "video").map((one) => one.height);
    const end = video.source.duration;
    for (const from of [0, 0.05, 1.5, end * 0.6]) {
      const { page, ranges, get } = await open("startHls", server.base + video.playback.hls);
      const what = `a change at ${from} s`;
      await until(`${what}: it can be played`, () => get("readyState"), (it) => it >= 2);
      await page.evaluate((from) => (window.video.currentTime = from), from);
      const now = await until(`${what}: a picture`, () => get("videoHeight"));
      const other = heights.find((height) => height !== now);
      for (const height of [other, now, other]) {
        await page.evaluate((height) => window.player.choose(height), height);
        // A film that stands still shows the other quality when it is asked for a picture after
        // that has come in, which it may have been before.
        let step = 0.01;
        const shown = async () => {
          await page.evaluate((by) => {
            if (!window.video.seeking) window.video.currentTime += by;
          }, (step = -step));
          return get("videoHeight");
        };
        await until(`${what}: ${height} lines`, shown, (it) => it === height);
        await until(`${what}: all is there`, ranges, (it) => it.at(-1)?.[1] > end - 0.15);
      }
      const found = await ranges();
      assert.equal(found.length, 1, `${what}: a hole in ${JSON.stringify(found)}`);
      // Pictures that are moved show at the beginning or, as sound ends on its own, at the end.
      const [[start, last]] = found;
      assert.ok(start < 0.01 || (from > 4 && Math.abs(start - 4) < 0.02), `${what}: from ${start}`);
      assert.ok(Math.abs(last - end) < 0.03, `${what}: ends at ${last}`);
      assert.deepEqual(await page.evaluate(() => window.errors), [], what);
      await page.close();
    }
  });

  it("hls.js plays over the places where other processes went on", async () => {
    const shared = await Server.start({
      SLIPWAY_MEDIA__SPANS: "3",
      SLIPWAY_MEDIA__LIVE_WORKERS: "0",
      SLIPWAY_MEDIA__LADDER: "[144]",
    });
    try {
      const { look } = await upload(shared, media.at("spans.mp4"));
      const video = await until("it is ready", look, ({ state }) => state === "ready");
      const shown = await open("startHls", shared.base + video.playback.hls);
      const { page, ranges, get } = shown;
      // Spans begin at seconds 32 and 64.
      await page.evaluate(() => ((window.video.currentTime = 28), window.video.play()));
      await until("the first seam is passed", () => get("currentTime"), (now) => now > 36);
      const found = (await ranges()).filter(([start, end]) => end > 28 && start < 36);
      assert.equal(found.length, 1, `a hole in ${JSON.stringify(found)}`);
      await page.evaluate(() => (window.video.currentTime = 60));
      await toTheEnd(shown, 60, video.source.duration, "spans");
      await page.close();
    } finally {
      await shared.stop();
    }
  });

  it("hls.js opens encrypted segments: to the end, over a jump and a change of quality", async () => {
    const encrypted = await Server.start({
      SLIPWAY_MEDIA__ENCRYPT: "true",
      SLIPWAY_MEDIA__FORMATS: '["hls"]',
    });
    try {
      const { look } = await upload(encrypted, media.at("moov-last.mp4"));
      const video = await until("it is ready", look, ({ state }) => state === "ready");
      const heights = video.renditions.filter((one) => one.kind === "video").map((one) => one.height);
      const shown = await open("startHls", encrypted.base + video.playback.hls);
      const { page, get } = shown;
      await page.evaluate(() => window.video.play());
      await until("time moves", () => get("currentTime"), (now) => now > 0.5);
      await page.evaluate(() => window.video.pause());
      const from = video.source.duration * 0.6;
      await page.evaluate((from) => (window.video.currentTime = from), from);
      await until("the jump is over", () => get("seeking"), (it) => !it);
      const now = await get("videoHeight");
      const other = heights.find((height) => height !== now);
      await page.evaluate((height) => window.player.choose(height), other);
      await page.evaluate(() => (window.video.currentTime += 0.05));
      await until(`${other} lines`, () => get("videoHeight"), (it) => it === other);
      await toTheEnd(shown, from, video.source.duration, "encrypted");
      const heard = await page.evaluate(() => window.video.webkitAudioDecodedByteCount);
      assert.ok(heard > 500, `sound: ${heard}`);
      await page.close();
    } finally {
      await encrypted.stop();
    }
  });

  it("hls.js plays a list that still grows to its end", async () => {
    const growing = await Server.start({ SLIPWAY_MEDIA__LADDER: "[360, 240]" });
    try {
      const { look } = await upload(growing, media.at("longer.mp4"));
      const video = await until("something plays", look, ({ playable }) => playable);
      assert.notEqual(video.state, "ready", "it still grows");
      const shown = await open("startHls", growing.base + video.playback.hls);
      // Where the encoder is slower than the player, it waits and says so.
      await shown.page.evaluate(() => (window.waits = ["mediaError bufferStalledError"]));
      await toTheEnd(shown, 0, video.source.duration, "growing");
      await shown.page.close();
    } finally {
      await growing.stop();
    }
  });
});
