// tus-js-client and Uppy in Node: every way to send, through cuts, kills and the client's own death.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import tus from "tus-js-client";
import { House, MIB, NAME } from "./clients.mjs";
import { PATIENCE_MS } from "../browser/slipway.mjs";

/** Tries for as long as a server may need to come back. */
const OFTEN = Array(300).fill(100);

describe("tus-js-client in Node", { timeout: 4 * PATIENCE_MS }, () => {
  let house;
  before(async () => {
    house = await House.open();
  });
  after(() => house?.close());

  /** An upload with its end as a promise, and the offsets at which its bodies began. */
  function begin(source, options = {}) {
    const offsets = [];
    let upload;
    const done = new Promise((ok, no) => {
      upload = new tus.Upload(source, {
        endpoint: `${house.base}/files`,
        headers: house.headers,
        retryDelays: OFTEN,
        onBeforeRequest: (request) => {
          const at = request.getHeader("Upload-Offset");
          if (at !== undefined) offsets.push(Number(at));
        },
        onSuccess: ok,
        onError: no,
        ...options,
      });
    });
    // An upload that a test gives up ends with nobody listening.
    done.catch(() => undefined);
    return { upload, done, offsets };
  }

  async function send(file, options = {}, source = createReadStream(file.path)) {
    const sent = begin(source, { metadata: { filename: file.name }, ...options });
    sent.upload.start();
    await sent.done;
    return sent;
  }

  it("sends a file in one request, under a name of many scripts", async () => {
    const file = await house.file(3 * MIB, NAME);
    const { upload, offsets } = await send(file);
    assert.deepEqual(offsets, [0]);
    await house.assertKept(upload.url, file);
  });

  it("sends a file by a grant's bare address, on one line, in chunks or in parts", async () => {
    const ways = [{}, { chunkSize: MIB / 2 }, { parallelUploads: 3 }];
    for (const options of ways) {
      const file = await house.file(MIB + 7);
      const asked = await fetch(`${house.base}/api/upload-grants`, {
        method: "POST",
        headers: { ...house.headers, "Content-Type": "application/json" },
        body: JSON.stringify({ expiresIn: 600 }),
      });
      const { id, uploadUrl } = await asked.json();
      const given = { endpoint: uploadUrl, headers: {}, ...options };
      const { upload } = await send(file, given);
      assert.match(upload.url, /\/g\/slg_[\w-]{43}\/files\//);
      await house.assertKept(`${house.base}/files/${upload.url.split("/").at(-1)}`, file);
      const { items } = await house.json("/api/upload-grants");
      assert.equal(items.find((item) => item.id === id).state, "used");
      await assert.rejects(send(file, { ...given, retryDelays: [] }), /grant-used/);
    }
  });

  it("sends a file in chunks", async () => {
    const file = await house.file(MIB + 1);
    const { upload, offsets } = await send(file, { chunkSize: MIB / 4 });
    assert.deepEqual(
      offsets,
      [0, 1, 2, 3, 4].map((nth) => (nth * MIB) / 4),
    );
    await house.assertKept(upload.url, file);
  });

  it("sends an empty file", async () => {
    const file = await house.file(0);
    const { upload } = await send(file, {}, file.content);
    await house.assertKept(upload.url, file);
  });

  it("sends the first bytes with the creation", async () => {
    for (const chunkSize of [Infinity, MIB / 4]) {
      const file = await house.file(MIB);
      const { upload, offsets } = await send(file, { uploadDataDuringCreation: true, chunkSize });
      assert.equal(offsets.length, chunkSize === Infinity ? 0 : 3);
      await house.assertKept(upload.url, file);
    }
  });

  it("sends a stream of unknown length", async () => {
    const file = await house.file(MIB + 7);
    const options = { uploadLengthDeferred: true, chunkSize: MIB / 2 };
    // Pieces that are no chunks, as from a camera or a pipe.
    const pieces = Array.from({ length: 12 }, (_, nth) =>
      file.content.subarray(nth * 100_000, (nth + 1) * 100_000),
    );
    const { upload, offsets } = await send(file, options, Readable.from(pieces));
    assert.ok(offsets.length > 1, `${offsets}`);
    await house.assertKept(upload.url, file);
  });

  it("sends parts side by side, which the server joins", async () => {
    const file = await house.file(2 * MIB + 3, "joined — 連結.mp4");
    const { upload } = await send(file, { parallelUploads: 4 });
    await house.assertKept(upload.url, file);
  });

  it("sends POST where a proxy lets no PATCH through", async () => {
    const file = await house.file(MIB);
    const methods = new Set();
    const { upload } = await send(file, {
      overridePatchMethod: true,
      chunkSize: MIB / 2,
      onAfterResponse: (request) => {
        methods.add(request.getMethod());
      },
    });
    assert.deepEqual([...methods], ["POST"]);
    await house.assertKept(upload.url, file);
  });

  it("ends an upload here and on the server", async () => {
    const file = await house.file(MIB);
    const begun = begin(createReadStream(file.path), { chunkSize: MIB / 4 });
    await new Promise((ok) => {
      begun.upload.options.onChunkComplete = ok;
      begun.upload.start();
    });
    await begun.upload.abort(true);
    assert.equal((await house.ask(begun.upload.url)).status, 410);
    assert.equal((await house.unfinished()).length, 0);
  });

  it("goes on by itself after a cut line", async () => {
    const line = await house.line();
    const file = await house.file(4 * MIB);
    const cut = line.cutAfter(2 * MIB);
    const sending = send(file, { endpoint: `${line.base}/files` });
    await cut;
    const { upload, offsets } = await sending;
    assert.ok(offsets.at(-1) > MIB, `what had arrived is kept: ${offsets}`);
    await house.assertKept(upload.url, file);
  });

  it("goes on by itself after the server was killed", async () => {
    const line = await house.line();
    const file = await house.file(4 * MIB);
    const options = { endpoint: `${line.base}/files`, chunkSize: MIB };
    const held = line.holdAfter(2.5 * MIB);
    const sending = send(file, options);
    const release = await held;
    await house.server.killAndRestart();
    release();
    const { upload, offsets } = await sending;
    assert.ok(offsets.at(-1) >= 2 * MIB, `two chunks were acknowledged: ${offsets}`);
    await house.assertKept(upload.url, file);
  });

  it("goes on by itself after its computer slept", async () => {
    const impatient = await House.open({ SLIPWAY_UPLOAD__IDLE_TIMEOUT: "1s" });
    try {
      const line = await impatient.line();
      const file = await impatient.file(2 * MIB);
      const held = line.holdAfter(MIB);
      const options = { endpoint: `${line.base}/files`, headers: impatient.headers };
      const sending = send(file, options);
      await held;
      const { upload, offsets } = await sending;
      assert.ok(offsets.length > 1, `${offsets}`);
      await impatient.assertKept(upload.url, file);
    } finally {
      await impatient.close();
    }
  });

  for (const parallelUploads of [1, 3]) {
    it(`goes on from its memory after its own death, parts: ${parallelUploads}`, async () => {
      const file = await house.file(3 * MIB);
      const memory = join(house.dir, `memory-${parallelUploads}.json`);
      const options = () => ({
        urlStorage: new tus.FileUrlStorage(memory),
        metadata: { filename: file.name },
        chunkSize: MIB / 4,
        parallelUploads,
      });
      const first = begin(createReadStream(file.path), options());
      await new Promise((ok) => {
        let acknowledged = 0;
        first.upload.options.onChunkComplete = async (bytes) => {
          acknowledged += bytes;
          // One part may be far ahead of another, and it remembers none before all are begun.
          if (acknowledged >= MIB && (await first.upload.findPreviousUploads()).length > 0) ok();
        };
        first.upload.start();
      });
      await first.upload.abort();
      await house.server.killAndRestart();

      const second = begin(createReadStream(file.path), options());
      const [known, ...more] = await second.upload.findPreviousUploads();
      assert.ok(known && more.length === 0, "the file is known");
      second.upload.resumeFromPreviousUpload(known);
      second.upload.start();
      await second.done;
      assert.ok(Math.max(...second.offsets) > 0 && second.offsets.length < 12, second.offsets);
      await house.assertKept(second.upload.url, file);
    });
  }

  it("begins anew when what it remembers is gone", async () => {
    const file = await house.file(MIB);
    const memory = new tus.FileUrlStorage(join(house.dir, "memory-gone.json"));
    const first = begin(createReadStream(file.path), { urlStorage: memory, chunkSize: MIB / 4 });
    await new Promise((ok) => {
      first.upload.options.onChunkComplete = ok;
      first.upload.start();
    });
    await first.upload.abort();
    await house.ask(first.upload.url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
    const options = { urlStorage: memory, metadata: { filename: file.name } };
    const second = begin(createReadStream(file.path), options);
    second.upload.resumeFromPreviousUpload((await second.upload.findPreviousUploads())[0]);
    second.upload.start();
    await second.done;
    assert.notEqual(second.upload.url, first.upload.url);
    await house.assertKept(second.upload.url, file);
  });

  // What Uppy is made of asks for a newer Node than Slipway does.
  const isOld = Number.parseInt(process.versions.node) < 20;
  it("Uppy sends twenty files", { skip: isOld && "Uppy needs Node 20" }, async () => {
    const [{ default: Uppy }, { default: Tus }] = await Promise.all([
      import("@uppy/core"),
      import("@uppy/tus"),
    ]);
    const { headers } = house;
    const uppy = new Uppy().use(Tus, { endpoint: `${house.base}/files`, headers, limit: 20 });
    const files = await Promise.all(Array.from({ length: 20 }, () => house.file(MIB / 16)));
    for (const { name, content, bytes } of files) {
      uppy.addFile({ name, type: "video/mp4", data: content, size: bytes });
    }
    const { successful, failed } = await uppy.upload();
    assert.deepEqual([successful.length, failed.length], [20, 0]);
    for (const { name, uploadURL } of successful) {
      await house.assertKept(
        uploadURL,
        files.find((file) => file.name === name),
      );
    }
  });

  it("gives up at once, with the server's word, where trying again can't help", async () => {
    const file = await house.file(10);
    const stranger = begin(file.content, { headers: { Authorization: "Bearer slw_nobody" } });
    stranger.upload.start();
    const refused = await stranger.done.then(
      () => assert.fail("nobody got in"),
      (error) => error,
    );
    assert.equal(refused.originalResponse.getStatus(), 401);
    assert.equal(JSON.parse(refused.originalResponse.getBody()).status, 401);
  });
});
