// The page that the players run in, on another origin than the server's, as on anybody's site.
//
// What is exported here is called in the browser: each `start…` makes a player on the page's video
// element and returns one face for all of them. Errors of the player and of the element are kept in
// `window.errors`.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const SCRIPTS = {
  "/hls.js": "../../static/node_modules/hls.js/dist/hls.min.js",
  "/shaka.js": "node_modules/shaka-player/dist/shaka-player.compiled.js",
  "/dash.js": "node_modules/dashjs/dist/modern/umd/dash.all.min.js",
};

const PAGE = `<!doctype html><meta charset="utf-8"><title>players</title>
<video muted playsinline></video>
<script src="/hls.js"></script><script src="/shaka.js"></script><script src="/dash.js"></script>
<script>${[setUp, listen, startHls, startShaka, startDash].join("\n")}\nsetUp();</script>`;

/** Serves the page; returns its address and how to end it. */
export async function servePage() {
  const server = createServer(async (request, response) => {
    const script = SCRIPTS[request.url];
    if (!script && request.url !== "/") return response.writeHead(404).end();
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
    return response.end(script ? await readFile(join(here, script)) : PAGE);
  });
  await new Promise((ok) => server.listen(0, "127.0.0.1", ok));
  return { address: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}

/* c8 ignore start: what follows runs in the browser. */

function setUp() {
  window.errors = [];
  window.video = document.querySelector("video");
  window.video.addEventListener("error", () => window.errors.push(window.video.error?.message));
}

/** From now on `window.tone()` tells the loudest frequency that the film sounds with. */
async function listen() {
  const context = new AudioContext();
  const heard = new AnalyserNode(context, { fftSize: 4096, smoothingTimeConstant: 0 });
  context.createMediaElementSource(window.video).connect(heard).connect(context.destination);
  window.video.muted = false;
  await context.resume();
  const levels = new Float32Array(heard.frequencyBinCount);
  window.tone = () => {
    heard.getFloatFrequencyData(levels);
    const loudest = levels.indexOf(Math.max(...levels));
    return (loudest * context.sampleRate) / heard.fftSize;
  };
}

async function startHls(url) {
  const hls = new window.Hls({ startPosition: 0, subtitlePreference: { lang: "xx" } });
  hls.on(window.Hls.Events.ERROR, (_, data) => {
    // A load that a switch has made needless is no fault.
    const dropped = data.details === window.Hls.ErrorDetails.INTERNAL_ABORTED;
    if (!dropped) window.errors.push(`${data.type} ${data.details}`);
  });
  const parsed = new Promise((ok) => hls.on(window.Hls.Events.MANIFEST_PARSED, ok));
  hls.loadSource(url);
  hls.attachMedia(window.video);
  await parsed;
  return {
    levels: () => hls.levels.map((level) => level.height ?? 0),
    choose: (height) => {
      hls.currentLevel = hls.levels.findIndex((level) => (level.height ?? 0) === height);
    },
    texts: () => hls.subtitleTracks.map((track) => track.lang),
    sounds: () => hls.audioTracks.map((track) => track.lang),
    chooseSound: (at) => {
      hls.audioTrack = at;
    },
    showText: (at) => {
      hls.subtitleTrack = at;
      hls.subtitleDisplay = true;
    },
  };
}

async function startShaka(url) {
  window.shaka.polyfill.installAll();
  const player = new window.shaka.Player();
  player.addEventListener("error", ({ detail }) => window.errors.push(`shaka ${detail.code}`));
  await player.attach(window.video);
  // It places the words of HLS by pictures that come after them, so they're chosen beforehand.
  player.configure({ abr: { enabled: false }, preferredText: [{ language: "de" }] });
  await player.load(url);
  const variants = () => player.getVariantTracks();
  // A switch is over when the first piece of what was chosen is in the buffer: Shaka 5.2 on DASH
  // appends nothing for a jump that falls into the emptying of the old one.
  const appended = (type) =>
    new Promise((ok) =>
      player.addEventListener("segmentappended", (it) => it.contentType === type && ok()),
    );
  return {
    levels: () => [...new Set(variants().map((track) => track.height ?? 0))],
    choose: (height) => {
      const now = variants().find((track) => track.active);
      const fits = variants().filter((track) => (track.height ?? 0) === height);
      const filled = appended("video");
      player.selectVariantTrack(
        fits.find((track) => track.language === now?.language) ?? fits[0],
        true,
      );
      return filled;
    },
    texts: () => player.getTextTracks().map((track) => track.language),
    sounds: () => [...new Set(player.getAudioTracks().map((track) => track.language))],
    chooseSound: (at) => {
      const tracks = player.getAudioTracks();
      const languages = [...new Set(tracks.map((track) => track.language))];
      const filled = appended("audio");
      player.selectAudioTrack(tracks.find((track) => track.language === languages[at]));
      return filled;
    },
    showText: (at) => player.selectTextTrack(player.getTextTracks()[at]),
  };
}

async function startDash(url) {
  const player = window.dashjs.MediaPlayer().create();
  const { events } = window.dashjs.MediaPlayer;
  player.on(events.ERROR, ({ error }) => window.errors.push(`dash.js ${error?.code}`));
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      text: { defaultEnabled: false },
      abr: { autoSwitchBitrate: { video: false, audio: false } },
      buffer: { fastSwitchEnabled: true },
    },
  });
  const ready = new Promise((ok) => player.on(events.STREAM_INITIALIZED, ok));
  player.initialize(window.video, url, false);
  await ready;
  const videos = () => player.getRepresentationsByType("video");
  return {
    levels: () => videos().map((one) => one.height ?? 0),
    choose: (height) => {
      const one = videos().find((it) => it.height === height);
      player.setRepresentationForTypeById("video", one.id, true);
    },
    texts: () => player.getTracksFor("text").map((track) => track.lang),
    sounds: () => player.getTracksFor("audio").map((track) => track.lang),
    chooseSound: (at) => player.setCurrentTrack(player.getTracksFor("audio")[at]),
    showText: (at) => {
      player.enableText(true);
      player.setTextTrack(at);
    },
  };
}
