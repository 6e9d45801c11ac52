// What the tests of other people's clients need: files, a line that can be cut, what was kept.
//
// The server is the one of the browser tests; SLIPWAY_BIN and SLIPWAY_CHROMIUM are as there.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createSite } from "node:http";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { Server, openPage, until } from "../browser/slipway.mjs";

export const here = dirname(fileURLToPath(import.meta.url));
const { build } = createRequire(join(here, "../../static/package.json"))("esbuild");

/** The Python that scripts/setup made for tuspy. */
export const python = join(here, ".venv/bin/python");
export const MIB = 1 << 20;
/** A name that no header may carry as it is. */
export const NAME = "Größe, 大きさ & 🎬.mp4";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** A server, its administrator's token, and a directory for files to send. */
export class House {
  static async open(settings = {}) {
    const house = new House();
    house.server = await Server.start(settings);
    house.base = house.server.base;
    house.dir = await mkdtemp(join(tmpdir(), "slipway-clients-"));
    const token = await readFile(join(house.server.dir, "data/admin-token"), "utf8");
    house.token = token.trim();
    house.headers = { Authorization: `Bearer ${house.token}` };
    house.lines = [];
    return house;
  }

  async close() {
    for (const line of this.lines) line.close();
    await this.server.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Makes a file that is like no other. */
  async file(bytes, name = `${randomBytes(6).toString("hex")}.bin`) {
    const content = randomBytes(bytes);
    const path = join(this.dir, name);
    await writeFile(path, content);
    return { path, name, bytes, content, sha256: sha256(content) };
  }

  /** Gives a file another name. */
  async copy(from, name) {
    const path = join(this.dir, name);
    const content = await readFile(from);
    await writeFile(path, content);
    return { path, name, bytes: content.length, content, sha256: sha256(content) };
  }

  /** A line to the server that a test can hold and cut. */
  async line() {
    const line = await Line.to(this.base);
    this.lines.push(line);
    return line;
  }

  /** Asks the server itself, whatever line `url` names. */
  ask(url, options = {}) {
    const { pathname, search } = new URL(url, this.base);
    const headers = { ...this.headers, ...options.headers };
    return fetch(this.base + pathname + search, { ...options, headers });
  }

  async json(path) {
    const answer = await this.ask(path, { headers: { Accept: "application/json" } });
    assert.equal(answer.status, 200, path);
    return answer.json();
  }

  /** Checks that the upload at `url` has become exactly this file. */
  async assertKept(url, file, name = file.name) {
    // What is made of parts is joined a moment after its last byte.
    const answer = await until(
      "the file is whole",
      () => this.ask(url),
      (answer) => answer.status === 200,
    );
    assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), file.sha256, file.name);
    const upload = await this.json(new URL(url, this.base).pathname);
    assert.equal(upload.state, "finished");
    assert.equal(upload.filename, name);
    const video = await this.json(`/api/videos/${upload.videoId}`);
    assert.equal(video.filename, name);
    assert.equal(video.size, file.bytes);
  }

  /** Finds a video by its file's name, once it is whole, and checks its bytes. */
  async assertFound(file) {
    const { items } = await until(
      `${file.name} is there`,
      () => this.json(`/api/videos?q=${encodeURIComponent(file.name)}`),
      ({ items }) => items.length > 0 && items.every(({ state }) => state !== "uploading"),
    );
    assert.equal(items.length, 1, `${file.name} is there once`);
    // What is made of parts is joined while the video is made.
    const original = await until(
      `${file.name} is whole`,
      () => this.ask(`/api/videos/${items[0].id}/original`),
      (answer) => answer.status !== 409,
    );
    assert.equal(sha256(Buffer.from(await original.arrayBuffer())), file.sha256, file.name);
    return items[0];
  }

  /** Uploads of this administrator that aren't finished. */
  async unfinished() {
    return (await this.json("/api/uploads?state=partial")).items;
  }
}

/** A site of somebody else: one page with a file input, and a script made of `source`. */
export async function site(source, define = {}) {
  const made = await build({
    stdin: { contents: source, resolveDir: here },
    bundle: true,
    define,
    format: "esm",
    write: false,
    logLevel: "warning",
  });
  const page =
    '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>A site</title>' +
    '<input type="file" multiple aria-label="Files"><script type="module" src="/script.js"></script>';
  const listener = createSite((request, answer) => {
    const isScript = request.url === "/script.js";
    const type = isScript ? "text/javascript" : "text/html";
    answer.setHeader("Content-Type", `${type}; charset=utf-8`);
    answer.end(isScript ? made.outputFiles[0].text : page);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    base: `http://127.0.0.1:${listener.address().port}`,
    close() {
      listener.close();
      listener.closeAllConnections();
    },
  };
}

/** Opens a site's page with these files chosen; refused connections may show in its console. */
export async function visit(context, site, files) {
  const page = await openPage(context, [/Failed to load resource/]);
  await page.goto(site.base);
  await page.getByLabel("Files").setInputFiles(files.map(({ path }) => path));
  return page;
}

/** A TCP line between a client and the server. */
class Line {
  #left = null;
  #then = null;
  #sockets = new Set();

  static async to(base) {
    const line = new Line();
    const { hostname, port } = new URL(base);
    line.target = { host: hostname, port: Number(port) };
    line.listener = createServer((client) => line.#carry(client));
    line.listener.listen(0, "127.0.0.1");
    await once(line.listener, "listening");
    line.base = `http://127.0.0.1:${line.listener.address().port}`;
    return line;
  }

  close() {
    this.listener.close();
    this.drop();
  }

  /** Ends every connection that there is, as a network does that goes away. */
  drop() {
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Ends the line after so many more bytes. What had passed by then arrives: the client notices
   * only when the server has, else its next request could be faster and take over.
   */
  cutAfter(bytes) {
    this.#left = bytes;
    return new Promise((cut) => {
      this.#then = (client, server) => {
        server.removeAllListeners("data");
        server.resume();
        server.once("close", () => {
          client.destroy();
          cut();
        });
        server.end();
      };
    });
  }

  /** Stops carrying after so many more bytes; resolves then to what lets them go on. */
  holdAfter(bytes) {
    this.#left = bytes;
    return new Promise((held) => {
      this.#then = (_client, _server, release) => held(release);
    });
  }

  #carry(client) {
    const server = connect(this.target);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ]) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroySoon();
      });
    }
    server.on("data", (chunk) => {
      if (!client.write(chunk)) server.pause();
    });
    client.on("drain", () => server.resume());
    const resume = () => client.resume();
    server.on("drain", resume);
    client.on("data", (chunk) => {
      if (this.#left === null || chunk.length < this.#left) {
        if (this.#left !== null) this.#left -= chunk.length;
        if (!server.write(chunk)) client.pause();
        return;
      }
      const [left, then] = [this.#left, this.#then];
      [this.#left, this.#then] = [null, null];
      // What comes behind the mark is lost in a cut, and waits in a hold.
      server.off("drain", resume);
      client.pause();
      client.unshift(chunk.subarray(left));
      server.write(chunk.subarray(0, left));
      then(client, server, () => {
        server.on("drain", resume);
        resume();
      });
    });
  }
}
