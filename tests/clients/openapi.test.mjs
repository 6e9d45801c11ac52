// The API's document: valid, good for a client that is generated from it, and true of the answers.
//
// openapi-typescript makes types of it, the compiler holds openapi_client.ts against them, and
// openapi-fetch runs that against a server. Every JSON answer on the way is held against its schema.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import Ajv from "ajv/dist/2020.js";
import { House, here, python } from "./clients.mjs";
import { PATIENCE_MS, makeMedia, until } from "../browser/slipway.mjs";

const run = promisify(execFile);
const { build } = createRequire(join(here, "../../static/package.json"))("esbuild");

describe("the API's document", { timeout: 4 * PATIENCE_MS }, () => {
  let house, document, folder, file, media, receiver;

  before(async () => {
    receiver = await Receiver.open();
    const settings = {
      SLIPWAY_UPLOAD__RESERVE_FREE_SPACE: "64 MiB",
      SLIPWAY_HOOKS__WEBHOOKS: `[{ url = "${receiver.url}", secret = "${SECRET}" }]`,
      SLIPWAY_HOOKS__ALLOW_PRIVATE: "true",
    };
    [house, media] = await Promise.all([House.open(settings), makeMedia()]);
    document = await (await fetch(`${house.base}/openapi.json`)).json();
    folder = await mkdtemp(join(here, ".openapi-"));
    file = join(folder, "openapi.json");
    await writeFile(file, JSON.stringify(document));
  });
  after(async () => {
    await house?.close();
    receiver?.close();
    await media?.remove();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  it("is OpenAPI 3.1, says a validator", async () => {
    const { stdout } = await run(python, ["-m", "openapi_spec_validator", file]);
    assert.match(stdout, /: OK/);
  });

  it("makes a client that uploads, completes, looks, lists, and deletes", async () => {
    const bin = (name) => join(here, "node_modules/.bin", name);
    await run(bin("openapi-typescript"), [file, "-o", join(folder, "schema.d.ts")]);
    await copyFile(join(here, "openapi_client.ts"), join(folder, "client.ts"));
    await symlink(join(here, "node_modules"), join(folder, "node_modules"));
    const strict = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2022"];
    const modules = ["--module", "esnext", "--moduleResolution", "bundler"];
    const lib = ["--lib", "es2022,dom,dom.iterable"];
    const checked = run(bin("tsc"), [...strict, ...modules, ...lib, join(folder, "client.ts")]);
    await checked.catch((failed) => assert.fail(failed.stdout));
    const made = { entryPoints: [join(folder, "client.ts")], outfile: join(folder, "client.mjs") };
    await build({ ...made, bundle: true, format: "esm", platform: "node", logLevel: "warning" });

    const { travel } = await import(pathToFileURL(join(folder, "client.mjs")));
    const film = await house.copy(join(media.dir, "faststart.mp4"), "faststart.mp4");
    const truth = new Truth(document);
    const listener = await Listener.open(house);
    const told = await travel(house.base, house.token, film.content, truth.fetch);
    assert.deepEqual(told.problems, ["not-found", "parts-missing", "gone"]);
    assert.equal(told.sha256, film.sha256);
    const needed = ["initiateUpload", "putPart", "getUpload", "completeUpload", "listUploads"];
    needed.push("getVideo", "listVideos", "changeVideo", "getProcessingStatus", "deleteVideo");
    needed.push("getServerStatus", "getQueueStatus", "listJobs", "getSession", "getPreview");
    for (const name of needed) assert.ok(truth.seen.has(name), `${name} wasn't asked`);

    // What was told meanwhile, over the stream and to the webhook, is as described as well.
    await house.ask("/api/admin/webhooks/test", { method: "POST" });
    await until("the test of the webhook", () => receiver.told.some((event) => event.type === "test"));
    const kinds = (events) => new Set(events.map((event) => event.type));
    const heard = await listener.close();
    for (const event of heard) truth.holds("LiveEvent", event);
    for (const event of receiver.told) truth.holds("WebhookEvent", event);
    const hooks = ["upload.completed", "video.state", "video.playable", "video.ready"];
    assert.deepEqual(kinds(receiver.told), kinds([...hooks, "test"].map((type) => ({ type }))));
    const live = [...hooks, "upload.progress", "video.progress", "queue", "snapshot"];
    assert.deepEqual(kinds(heard), kinds(live.map((type) => ({ type }))));
    assert.throws(() => truth.holds("LiveEvent", { ...heard[0], type: "video.gone" }));
    assert.throws(() => truth.holds("WebhookEvent", { ...receiver.told[0], at: 7 }));
  });
});

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** Takes what webhooks are sent. */
class Receiver {
  told = [];

  static async open() {
    const receiver = new Receiver();
    receiver.server = createServer(async (request, answer) => {
      receiver.told.push(await json(request));
      answer.writeHead(204).end();
    });
    await once(receiver.server.listen(0, "127.0.0.1"), "listening");
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}/`;
    return receiver;
  }

  close() {
    this.server.close();
  }
}

/** Hears everything that the server tells its administrator. */
class Listener {
  #stop = new AbortController();
  #text = "";

  static async open(house) {
    const listener = new Listener();
    const answer = await house.ask("/api/events", { signal: listener.#stop.signal });
    assert.equal(answer.status, 200);
    const read = async () => {
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) listener.#text += piece;
    };
    listener.end = read().catch((cause) => assert.equal(cause.name, "AbortError"));
    return listener;
  }

  /** Stops listening and returns the events. */
  async close() {
    this.#stop.abort();
    await this.end;
    const whole = this.#text.slice(0, this.#text.lastIndexOf("\n\n"));
    const data = whole.split("\n").filter((line) => line.startsWith("data: "));
    return data.map((line) => JSON.parse(line.slice("data: ".length)));
  }
}

/** Holds answers against the document on their way to a client. */
class Truth {
  seen = new Set();
  #ajv = new Ajv({ strict: false, allErrors: true });

  constructor(document) {
    this.document = document;
    const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
    this.#ajv.addFormat("uuid", uuid);
    this.#ajv.addFormat("date-time", (text) => /T.*Z$/.test(text) && !Number.isNaN(Date.parse(text)));
    for (const format of ["int32", "int64", "float", "double"]) this.#ajv.addFormat(format, true);
    this.#ajv.addSchema(document, "api");
    this.fetch = async (request) => {
      const answer = await fetch(request);
      await this.#check(request, answer.clone());
      return answer;
    };
  }

  async #check(request, answer) {
    const [path, operation] = this.#find(request.method.toLowerCase(), new URL(request.url).pathname);
    this.seen.add(operation.operationId);
    const where = `${request.method} ${path} ${answer.status}`;
    const known = operation.responses[answer.status];
    const said = known ?? this.document.components.responses.Problem;
    assert.ok(known || answer.status >= 400, `${where} isn't in the document`);
    const kind = answer.headers.get("content-type")?.split(";")[0];
    if (!kind?.endsWith("json")) return;
    const { schema } = said.content[kind];
    const pointer = schema.$ref ?? assert.fail(`${where} has no named type`);
    this.holds(pointer.split("/").pop(), await answer.json(), where);
  }

  /** Holds a value against the schema of this name. */
  holds(name, value, where = name) {
    const $ref = `#/components/schemas/${name}`;
    const fits = this.#ajv.getSchema(`api${$ref}`);
    assert.ok(fits(value), `${where}: ${JSON.stringify(fits.errors)} in ${JSON.stringify(value)}`);
    const strangers = this.#strangers({ $ref }, value);
    assert.deepEqual(strangers, [], `${where} has members that the document doesn't`);
  }

  /** The literal address wins over one with a name in its place, as in the server. */
  #find(method, pathname) {
    const fits = (path) => new RegExp(`^${path.replace(/\{[^}]+\}/g, "[^/]+")}$`).test(pathname);
    const found = Object.entries(this.document.paths).filter(
      ([path, item]) => item[method] && fits(path),
    );
    found.sort(([a], [b]) => a.split("{").length - b.split("{").length);
    const [path, item] = found[0] ?? assert.fail(`${method} ${pathname} isn't in the document`);
    return [path, item[method]];
  }

  /** Lists members of an answer that its schema doesn't name, at any depth. */
  #strangers(schema, value, at = "") {
    if (value === null || typeof value !== "object") return [];
    const all = this.#parts(schema);
    if (Array.isArray(value)) {
      const items = all.find((part) => part.items)?.items ?? {};
      return value.flatMap((one) => this.#strangers(items, one, `${at}[]`));
    }
    // A member may mean another thing in each choice: the one that knows most of it counts.
    const known = {};
    for (const [name, of] of all.flatMap((part) => Object.entries(part.properties ?? {}))) {
      (known[name] ??= []).push(of);
    }
    const least = (lists) => lists.reduce((one, other) => (other.length < one.length ? other : one));
    return Object.entries(value).flatMap(([name, member]) =>
      name in known
        ? least(known[name].map((of) => this.#strangers(of, member, `${at}.${name}`)))
        : [`${at}.${name}`],
    );
  }

  #parts(schema) {
    const name = schema.$ref?.split("/").pop();
    const whole = name ? this.document.components.schemas[name] : schema;
    const inside = [...(whole.allOf ?? []), ...(whole.oneOf ?? []), ...(whole.anyOf ?? [])];
    return [whole, ...inside.flatMap((part) => this.#parts(part))];
  }
}
