// What every browser test needs: a server of its own, a logged-in page, generated media.
//
// SLIPWAY_BIN names the program (default: the debug build). SLIPWAY_TEST_MEDIA may name a folder
// where scripts/make-test-media puts its films; else they go to a temporary one.

import { spawn, execFileSync } from "node:child_process";
import { appendFile, copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { after, before } from "node:test";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { chromium } = createRequire(join(root, "static/package.json"))("playwright-core");

const PROGRAM = resolve(process.env.SLIPWAY_BIN ?? join(root, "target/debug/slipway"));

/** Long enough for a busy machine with two cores; nothing waits for it when all is well. */
export const PATIENCE_MS = 90_000;

/** A running server with a fresh data directory. */
export class Server {
  static async start(env = {}) {
    const server = new Server();
    server.dir = await mkdtemp(join(tmpdir(), "slipway-browser-"));
    server.env = env;
    await server.#run("127.0.0.1:0", "login");
    return server;
  }

  /** Ends it at once, as a power switch would, and starts it again at the same address. */
  async killAndRestart() {
    await this.#end("SIGKILL");
    await this.#run(new URL(this.base).host, "listening");
  }

  /** Ends it in good order, does something with its data directory, and starts it again. */
  async whileStopped(work) {
    await this.#end("SIGTERM");
    await work(join(this.dir, "data"));
    await this.#run(new URL(this.base).host, "listening");
  }

  /** Runs one of the program's commands over this data directory; returns what it prints. */
  command(...args) {
    const env = { ...process.env, ...this.env, SLIPWAY_DATA_DIR: join(this.dir, "data") };
    return execFileSync(PROGRAM, args, { cwd: this.dir, env, encoding: "utf8", stdio: "pipe" });
  }

  /** Asks the API as the admin whose token the first start wrote, or as somebody else. */
  async ask(method, path, body, token) {
    this.token ??= (await readFile(join(this.dir, "data/admin-token"), "utf8")).trim();
    const isForm = body instanceof FormData;
    const kind = body && !isForm ? { "Content-Type": "application/json" } : {};
    const answer = await fetch(this.base + path, {
      method,
      headers: { Authorization: `Bearer ${token ?? this.token}`, ...kind },
      body: isForm ? body : body && JSON.stringify(body),
    });
    const said = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${said}`);
    return said ? JSON.parse(said) : null;
  }

  /** Uploads a file in one request; returns the video's id. */
  async bring(path, fields = {}, token) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", new Blob([await readFile(path)]), basename(path));
    return (await this.ask("POST", "/api/videos", form, token)).videoId;
  }

  /** Waits until a video is in this state. */
  async settled(id, state = "ready") {
    const look = () => this.ask("GET", `/api/videos/${id}`);
    return until(`${id} is ${state}`, look, (video) => video.state === state);
  }

  async stop() {
    await this.#end("SIGTERM");
    await rm(this.dir, { recursive: true, force: true });
  }

  async #run(listen, until) {
    this.child = spawn(PROGRAM, ["serve"], {
      cwd: this.dir,
      env: {
        ...process.env,
        ...this.env,
        SLIPWAY_LISTEN: listen,
        // Many tests send bytes that are no film and look at them again.
        SLIPWAY_UPLOAD__KEEP_REJECTED: "true",
        // How full this machine's disk is, is none of the tests' business.
        SLIPWAY_UPLOAD__RESERVE_FREE_SPACE: "64 MiB",
        SLIPWAY_DATA_DIR: join(this.dir, "data"),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    const ended = new Promise((_, no) => {
      this.child.once("error", no);
      this.child.once("exit", (code) => no(new Error(`the server ended (${code}):\n${said}`)));
    });
    // Without a listener an exit that nobody waits for would end the test run.
    ended.catch(() => undefined);
    const ready = new Promise((ok) => {
      const hear = (chunk) => {
        said = (said + chunk).slice(-20_000);
        const login = said.match(/login: (http\S+)/)?.[1];
        if (until === "login" && login) {
          this.loginUrl = login;
          this.base = new URL(login).origin;
          ok();
        }
      };
      this.child.stdout.on("data", hear);
      this.child.stderr.on("data", hear);
      if (until === "listening") this.#answers(ok);
    });
    await Promise.race([ready, ended]);
    this.said = () => said;
  }

  async #answers(ok) {
    while (this.child.exitCode === null) {
      try {
        await fetch(`${this.base}/api/session`);
        return ok();
      } catch {
        await new Promise((tick) => setTimeout(tick, 50));
      }
    }
  }

  async #end(signal) {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((ok) => child.once("exit", ok));
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await gone;
    clearTimeout(late);
  }
}

/** A server of another origin, with one page. */
export async function otherSite() {
  let body = "";
  const other = createServer((_request, answer) => {
    answer.writeHead(200, { "Content-Type": "text/html" });
    answer.end(`<!doctype html><html lang="en"><title>Elsewhere</title>
      <link rel="icon" href="data:,"><style>button { display: none }</style>${body}</html>`);
  });
  await new Promise((ok) => other.listen(0, "127.0.0.1", ok));
  return {
    at: `http://127.0.0.1:${other.address().port}/`,
    show: (html) => (body = html),
    close: () => {
      other.close();
      other.closeAllConnections();
    },
  };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.SLIPWAY_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
    ],
  });
}

/** A page whose errors are collected; `allow` holds patterns of those that a test provokes. */
export async function openPage(context, allow = []) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  const note = (text) => {
    if (!allow.some((pattern) => pattern.test(text))) errors.push(text);
  };
  page.on("pageerror", (error) => note(String(error.stack ?? error)));
  page.on("console", (message) => {
    if (message.type() === "error") note(`${message.text()} (${message.location().url})`);
  });
  page.assertQuiet = () => assert.deepEqual(errors, [], "the browser's console has errors");
  return page;
}

/** Logs a fresh context in by the link that the server printed, and returns its state. */
export async function logIn(browser, server) {
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(server.loginUrl);
  await page.getByRole("button", { name: "Open Slipway" }).click();
  await page.waitForURL(`${server.base}/`);
  page.assertQuiet();
  const state = await context.storageState();
  await context.close();
  return state;
}

/** Makes an account and logs a fresh context in to it; returns the context's state. */
export async function logInTo(browser, server, name, role = "uploader") {
  const password = "correct horse";
  await server.ask("POST", "/api/admin/users", { name, role, password });
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(`${server.base}/login?next=/account`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).first().click();
  await page.waitForURL(`${server.base}/account`);
  page.assertQuiet();
  const state = await context.storageState();
  await context.close();
  return state;
}

/**
 * What the tests of a `describe` work with, from its beginning to its end: a server (`env` is its
 * environment, or makes it), a browser, films (`media` as `makeMedia` takes it), and somebody's login as
 * `state`. `ready` is called once with all of it and `open`, which shows a page to who is logged in.
 */
export function begin({ env, media, isStrange = false }, ready) {
  const made = {};
  before(async () => {
    [made.server, made.browser, made.media] = await Promise.all([
      Server.start(typeof env === "function" ? await env() : env),
      launch(),
      media && makeMedia(media),
    ]);
    if (!isStrange) made.state = await logIn(made.browser, made.server);
    made.open = async (path = "/", { allow, ...options } = {}) => {
      const context = await made.browser.newContext({ storageState: made.state, ...options });
      const page = await openPage(context, allow);
      await page.goto(new URL(path, made.server.base).href);
      const done = () => {
        page.assertQuiet();
        return context.close();
      };
      return { context, page, done };
    };
    await ready(made);
  });
  after(async () => {
    await made.browser?.close();
    await made.server?.stop();
    await made.media?.remove();
  });
}

/** The row of the upload page that shows this file. */
export function rowOf(page, name) {
  const stem = name.replace(/\.[^.]+$/, "");
  return page
    .getByRole("list", { name: "Your files" })
    .getByRole("listitem")
    .filter({ has: page.getByRole("heading", { name: stem }) });
}

export async function chooseFiles(page, paths) {
  await page.getByLabel("Video or sound files").setInputFiles(paths);
}

/** Slows the page's uploads down; returns the function that lifts it. */
export async function slowUploads(page, bytesPerSecond) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  const set = (uploadThroughput) =>
    cdp.send("Network.emulateNetworkConditions", {
      offline: false,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput,
    });
  await set(bytesPerSecond);
  return () => set(-1);
}

/** Notes which numbered parts a page sends from now on, and which of them are acknowledged. */
export function watchParts(page) {
  const seen = { begun: [], stored: [] };
  const indexOf = (request) => /\/upload\/[^/]+\/parts\/(\d+)$/.exec(request.url())?.[1];
  page.on("request", (request) => {
    const index = indexOf(request);
    if (index) seen.begun.push(Number(index));
  });
  page.on("response", (response) => {
    const index = indexOf(response.request());
    if (index && response.ok()) seen.stored.push(Number(index));
  });
  return seen;
}

/** Share (0..1) that a row's bar shows. */
export function barOf(row) {
  return row.getByRole("progressbar").evaluate((bar) => bar.value / bar.max);
}

/** Waits until `probe` gives something that `good` accepts, and returns it. */
export async function until(what, probe, good = Boolean) {
  const deadline = Date.now() + PATIENCE_MS;
  let last;
  for (;;) {
    last = await probe();
    if (good(last)) return last;
    if (Date.now() > deadline) assert.fail(`${what}: still ${JSON.stringify(last)}`);
    await new Promise((tick) => setTimeout(tick, 25));
  }
}

/** Films that scripts/make-test-media makes and the tests upload. */
const FILMS = ["faststart.mp4", "moov-last.mp4", "rotated.mp4", "text.mp4", "vp9.webm"];

/**
 * Makes the media that the tests upload, in a directory of their own for each test file, because
 * some tests change them; `long` adds half a minute with the index in front and behind, `more`
 * films by name.
 */
export async function makeMedia({ long = false, more = [] } = {}) {
  const made = process.env.SLIPWAY_TEST_MEDIA ?? join(tmpdir(), "slipway-test-media");
  execFileSync(join(root, "scripts/make-test-media"), [made]);
  const dir = await mkdtemp(join(tmpdir(), "slipway-media-"));
  const at = (name) => join(dir, name);
  for (const film of [...FILMS, ...more]) await copyFile(join(made, film), at(film));
  if (long) {
    execFileSync("ffmpeg", [
      ...["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=24"],
      ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=24"],
      ...["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p"],
      ...["-c:a", "aac", "-movflags", "+faststart", "-shortest", at("longer.mp4")],
    ]);
    const copied = ["-v", "error", "-i", at("longer.mp4"), "-c", "copy"];
    execFileSync("ffmpeg", [...copied, at("longer-last.mp4")]);
  }
  await padded(at("moov-last.mp4"), at("large.mp4"), 24 << 20);
  return { dir, at, remove: () => rm(dir, { recursive: true, force: true }) };
}

/**
 * A proxy in front of a server, on this machine and by plain HTTP. Each request is shown to
 * `refuse`; the status that it returns is answered instead, with `more` headers and a page without
 * any meaning.
 */
export async function proxyBefore(server, refuse, more = {}) {
  const target = new URL(server.base);
  const proxy = createServer((request, answer) => {
    const status = refuse(request);
    if (status) {
      // Read to its end, so that the client reads the answer.
      request.resume().on("end", () => {
        answer.writeHead(status, { "Content-Type": "text/html", ...more });
        answer.end("<h1>No</h1>");
      });
      return;
    }
    const { method, url: path, headers } = request;
    const onward = httpRequest({ host: target.hostname, port: target.port, method, path, headers });
    onward.on("response", (theirs) => {
      answer.writeHead(theirs.statusCode, theirs.headers);
      theirs.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((ok) => proxy.listen(0, "127.0.0.1", ok));
  return {
    base: `http://127.0.0.1:${proxy.address().port}`,
    close: () => {
      proxy.close();
      proxy.closeAllConnections();
    },
  };
}

/** Copies an MP4 and appends a box of nothing: the same film in a file of a wanted size. */
async function padded(from, to, bytes) {
  await copyFile(from, to);
  const box = Buffer.alloc(bytes, "slipway ");
  box.writeUInt32BE(bytes, 0);
  box.write("free", 4, "latin1");
  await appendFile(to, box);
}

/** Seconds that ffprobe finds in a file. */
export function durationOf(path) {
  const args = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path];
  return Number(execFileSync("ffprobe", args, { encoding: "utf8" }));
}
