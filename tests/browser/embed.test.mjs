// <slipway-upload> on a page of another site: one line, a token, and what the page is told.

import { after, afterEach, beforeEach, describe, it } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { barOf, begin, chooseFiles, openPage, PATIENCE_MS } from "./slipway.mjs";
import { rowOf, slowUploads, until, watchParts } from "./slipway.mjs";

const packaged = fileURLToPath(new URL("../../static/package/", import.meta.url));

/** A site that isn't Slipway's: what `body` returns as its page, and a package's files under /lib/. */
async function site(body) {
  const server = createServer((request, answer) => {
    const file = /^\/lib\/([\w.-]+\.js)$/.exec(request.url)?.[1];
    if (!file) {
      answer.writeHead(200, { "Content-Type": "text/html" }).end(body(request.url));
      return;
    }
    readFile(join(packaged, file)).then(
      (script) => answer.writeHead(200, { "Content-Type": "text/javascript" }).end(script),
      () => answer.writeHead(404).end(),
    );
  });
  await new Promise((ok) => server.listen(0, "127.0.0.1", ok));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

describe("on another site's page", { timeout: 6 * PATIENCE_MS }, () => {
  let server, browser, media, theirs, token, context, page, html;

  begin({ media: {}, isStrange: true }, async (made) => {
    ({ server, browser, media } = made);
    token = (await readFile(join(server.dir, "data/admin-token"), "utf8")).trim();
    theirs = await site(() => html);
  });
  after(() => theirs?.close());
  beforeEach(async () => {
    context = await browser.newContext();
  });
  afterEach(() => context.close());

  /** Opens a page with the element; `attributes` are written as they are. */
  async function visit(
    attributes,
    { script = `${server.base}/static/slipway.js`, allow = [] } = {},
  ) {
    html = `<!doctype html><html lang="en"><title>Theirs</title>
      <style>button { display: none !important } li { color: red }</style>
      <script type="module" src="${script}"></script>
      <script>
        window.heard = [];
        for (const type of ["added", "uploaded", "ready", "failed", "removed", "unauthorized"])
          addEventListener("slipway-" + type, ({ detail }) => heard.push([type, detail]));
      </script>
      <h1>Our site</h1><slipway-upload ${attributes}></slipway-upload>`;
    page = await openPage(context, allow);
    await page.goto(theirs.base);
    return page;
  }

  const heard = () => page.evaluate(() => window.heard);
  const api = async (path) => {
    const answer = await fetch(server.base + path, {
      headers: { Authorization: `Bearer ${token}` },
    });
    return answer.json();
  };

  it("uploads with one line, and tells the page what has become of the file", async () => {
    await visit(`token="${token}" session="term-7"`);
    await page.getByText("up to").waitFor();
    await chooseFiles(page, [media.at("faststart.mp4")]);
    const row = rowOf(page, "faststart.mp4");
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.ok(await page.getByRole("button", { name: "Choose files" }).isVisible());
    const events = await heard();
    assert.deepEqual(
      events.map(([type]) => type),
      ["added", "uploaded", "ready"],
    );
    const { videoId, name, state } = events[2][1];
    assert.deepEqual([name, state], ["faststart.mp4", "ready"]);
    const video = await api(`/api/videos/${videoId}`);
    assert.deepEqual([video.state, video.sessionId], ["ready", "term-7"]);
    const sum = createHash("sha256")
      .update(await readFile(media.at("faststart.mp4")))
      .digest("hex");
    assert.equal(video.sha256, sum, "the server has compared the whole file");
    const link = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    assert.equal(link, `${server.base}/watch/${videoId}`);
    assert.equal(await page.title(), "Theirs", "the page's title is its own");
    await row.getByRole("button", { name: /^Play here/ }).click();
    const film = row.getByLabel(/^Video:/);
    await until("there is something to play", () => film.evaluate((it) => it.readyState >= 2));
    page.assertQuiet();
  });

  it("takes what the page wants, and says what it leaves out", async () => {
    await visit(`token="${token}" accept="video/mp4,.mkv" max-files="2"`);
    await page.getByText("up to").waitFor();
    const zone = page.getByRole("region", { name: "Upload" });
    await slowUploads(page, 2_000_000);
    await chooseFiles(page, [media.at("large.mp4"), media.at("vp9.webm")]);
    await zone
      .getByText("1 file was left out. Only these kinds are taken here: video/mp4,.mkv.")
      .waitFor();
    await chooseFiles(page, [media.at("faststart.mp4"), media.at("moov-last.mp4")]);
    await zone.getByText("1 file was left out. At most 2 files are taken here.").waitFor();
    assert.deepEqual(
      await page.evaluate(() =>
        document.querySelector("slipway-upload").files.map(({ name }) => name),
      ),
      ["large.mp4", "faststart.mp4"],
    );
    await page.evaluate(() => document.querySelector("slipway-upload").cancel());
    await until(
      "all are gone",
      async () => (await api("/api/uploads?state=partial")).items,
      (it) => it.length === 0,
    );
    page.assertQuiet();
  });

  it("asks the page for a token, and goes on when it has one", async () => {
    await visit("", { allow: [/401/] });
    await page.getByText("Uploading isn't possible yet").waitFor();
    assert.deepEqual(await heard(), [["unauthorized", null]]);
    const once = execFileSync(
      process.env.SLIPWAY_BIN ??
        fileURLToPath(new URL("../../target/debug/slipway", import.meta.url)),
      ["token", "create", "--role", "uploader", "--user", "anna", "--json"],
      { env: { ...process.env, SLIPWAY_DATA_DIR: join(server.dir, "data") }, encoding: "utf8" },
    );
    const first = JSON.parse(once);
    const set = (value) =>
      page.evaluate(
        (value) => document.querySelector("slipway-upload").setAttribute("token", value),
        value,
      );
    await set(first.token);
    await page.getByText("up to").waitFor();
    const lift = await slowUploads(page, 3_000_000);
    const before = watchParts(page);
    await chooseFiles(page, [media.at("large.mp4")]);
    const row = rowOf(page, "large.mp4");
    await until("parts are there", () => before.stored.length > 3);
    await set("slw_no-longer-good");
    await row.getByText("Your login has run out").waitFor();
    assert.equal(await row.getByRole("link", { name: "Log in" }).count(), 0);
    const after = watchParts(page);
    const stored = [...before.stored];
    await set(first.token);
    await lift();
    await row.getByText("Ready", { exact: true }).waitFor();
    assert.deepEqual(
      after.begun.filter((index) => stored.includes(index)),
      [],
    );
    page.assertQuiet();
  });

  it("works as a package, with types", async () => {
    await visit(`endpoint="${server.base}/files" token="${token}"`, { script: "/lib/slipway.js" });
    await page.getByText("up to").waitFor();
    await chooseFiles(page, [media.at("faststart.mp4")]);
    const row = rowOf(page, "faststart.mp4");
    await until(
      "the bar moves",
      () => barOf(row).catch(() => 1),
      (share) => share > 0,
    );
    await row.getByText("Ready", { exact: true }).waitFor();
    page.assertQuiet();

    const dir = await mkdtemp(join(tmpdir(), "slipway-package-"));
    try {
      await mkdir(join(dir, "node_modules"));
      await symlink(packaged, join(dir, "node_modules/slipway-upload"));
      const code = (event) => `
        import "slipway-upload";
        import type { UploadFile } from "slipway-upload";
        const upload = document.querySelector("slipway-upload")!;
        upload.addEventListener("${event}", ({ detail }) => { const it: UploadFile = detail; it.videoId; });
        upload.addFiles([]);`;
      const check = async (text) => {
        await writeFile(join(dir, "use.ts"), text);
        const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"];
        const tsc = fileURLToPath(new URL("../../static/node_modules/.bin/tsc", import.meta.url));
        execFileSync(tsc, [...options, "--types", "", "use.ts"], { cwd: dir, stdio: "pipe" });
      };
      await writeFile(join(dir, "package.json"), '{"type":"module"}');
      await check(code("slipway-uploaded"));
      await assert.rejects(() => check(code("slipway-progress")), "progress isn't of one file");
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
