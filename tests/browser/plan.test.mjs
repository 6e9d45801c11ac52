// The pure rules of the uploader: what is sent first, how it is cut, what an obstacle means.

import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const MIB = 1024 * 1024;

describe("the uploader's rules", () => {
  let dir, plan, film, sums;

  before(async () => {
    const { build } = createRequire(join(root, "static/package.json"))("esbuild");
    dir = await mkdtemp(join(tmpdir(), "slipway-plan-"));
    const names = ["plan", "film", "sha256"];
    const entryPoints = names.map((name) => join(root, `static/src/${name}.ts`));
    const outExtension = { ".js": ".mjs" };
    await build({ entryPoints, outdir: dir, outExtension, bundle: true, format: "esm" });
    [plan, film, sums] = await Promise.all(names.map((name) => import(join(dir, `${name}.mjs`))));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it("send each missing part once: what is wanted, then the rest", () => {
    const { inOrder } = plan;
    assert.deepEqual(inOrder([], [[0, 1]], 10), []);
    assert.deepEqual(inOrder([3, 0, 1, 3], [], 10), [0, 1, 3]);
    const missing = [1, 2, 4, 7, 8, 9];
    assert.deepEqual(
      inOrder(
        missing,
        [
          [85, 93],
          [0, 20],
          [80, 90],
        ],
        10,
      ),
      [8, 9, 1, 2, 4, 7],
    );
    assert.deepEqual(
      inOrder(
        missing,
        [
          [30, 40],
          [7, 7],
          [9, 5],
        ],
        10,
      ),
      missing,
    );
    assert.deepEqual(inOrder([0, 1, 2], [[10, 20]], 10), [1, 0, 2]);
  });

  it("leave one after the other, their answers apart", () => {
    assert.deepEqual([1, 2, 3, 4, 6].map(plan.sendingAtOnce), [1, 1, 1, 2, 4]);
  });

  it("let more small files set out at once than large ones", () => {
    const { maySetOut } = plan;
    assert.ok(maySetOut(9 * MIB, [9, 9]));
    assert.ok(!maySetOut(9 * MIB, [9, 9, 9]));
    assert.ok(maySetOut(9, [9, 9, 9, 9]));
    assert.ok(!maySetOut(9, [9, 9, 9, 9, 9]));
    assert.ok(!maySetOut(9, [9, 9 * MIB, 9]), "a large one has the line for itself, nearly");
  });

  it("cut a film so that its index begins a part", () => {
    const { partBytesUpTo } = plan;
    for (const start of [MIB, 3 * MIB + 17, 65_413_870, 10_000 * MIB - 1]) {
      const bytes = start > 1000 * MIB ? 8 * MIB : MIB / 2;
      const fitting = partBytesUpTo(start, bytes, start + 50_000);
      assert.ok(fitting <= bytes && fitting >= bytes / 2, `${fitting} for ${start}`);
      assert.ok(start % fitting < start / fitting, `${start % fitting} bytes before ${start}`);
    }
    assert.equal(partBytesUpTo(0, MIB, 9 * MIB), MIB, "it stands first");
    assert.equal(partBytesUpTo(MIB - 1, MIB, 9 * MIB), MIB, "it stands in the first part");
    assert.equal(partBytesUpTo(MIB / 4 + 1, MIB / 4, 9 * MIB), MIB / 4, "no part is that small");
    assert.equal(partBytesUpTo(9999 * MIB + 1, MIB, 10_000 * MIB), MIB, "no more parts than that");
  });

  it("cut a file as the line bears it", () => {
    const { partBytes } = plan;
    const free = Number.POSITIVE_INFINITY;
    assert.equal(partBytes(100 * MIB, 0, 3, free), MIB / 2, "nothing is known");
    assert.equal(partBytes(1000 * MIB, 3_000_000, 3, free), 5_000_000);
    assert.equal(partBytes(1000 * MIB, 3_000_000, 1, free), 15_000_000);
    assert.equal(partBytes(128 * MIB, 3_000_000, 3, free), 2 * MIB, "its first seconds come soon");
    assert.equal(partBytes(64 * MIB, 3_000_000, 3, free), MIB);
    assert.equal(partBytes(8 * MIB, 3_000_000, 3, free), 5_000_000, "it is over in a moment");
    assert.equal(partBytes(100 * MIB, 10_000, 3, free), MIB / 4, "not below the server's least");
    assert.equal(partBytes(1000 * MIB, 1e10, 3, free), 64 * MIB);
    assert.equal(partBytes(100 * MIB, 1e10, 3, MIB), MIB, "not above what gets through");
    assert.equal(partBytes(100_000 * MIB, 10_000, 3, free), 10_485_760, "ten thousand at most");
    assert.equal(partBytes(100_000 * MIB, 10_000, 3, MIB), null, "that many don't get through");
    assert.equal(partBytes(MIB, 0, 3, MIB / 8), null);
  });

  it("come down to what nearly everything lets through", () => {
    const { smallerBody } = plan;
    const steps = [];
    for (let bytes = 64 * MIB; bytes >= MIB / 4; bytes = smallerBody(bytes)) steps.push(bytes);
    assert.deepEqual(steps, [64 * MIB, 8 * MIB, MIB, MIB / 4]);
    assert.equal(smallerBody(MIB / 8), MIB / 16);
  });

  const refusal = { status: 0, code: "", partBytes: 0, accepted: 0, cuts: 0, failures: 0 };
  for (const [what, given, expected] of [
    ["no answer", {}, null],
    ["a part cut off", { partBytes: 9, cuts: 1 }, null],
    ["the first parts cut off again and again", { partBytes: 9, cuts: 3 }, "smaller"],
    ["later ones cut off again and again", { partBytes: 9, cuts: 3, accepted: 9 }, null],
    ["a proxy's time is over", { status: 504, partBytes: 9, cuts: 3 }, "smaller"],
    ["the server's own refusal", { status: 413, code: "quota-exceeded" }, null],
    ["the server's own 404", { status: 404, code: "not-found", accepted: 9 }, null],
    ["too large for a proxy", { status: 413, partBytes: 9 }, "smaller"],
    ["only the short last one passed", { status: 413, partBytes: 9, accepted: 4 }, "smaller"],
    ["others passed", { status: 413, partBytes: 9, accepted: 99 }, "wait"],
    ["none has for long", { status: 413, partBytes: 9, accepted: 99, failures: 8 }, "smaller"],
    ["an address that a proxy doesn't know", { status: 404 }, "tus"],
    ["a method that it doesn't let through", { status: 405, partBytes: 9 }, "tus"],
    ["a proxy that has lost the server", { status: 404, accepted: 9, failures: 99 }, "wait"],
    ["a server in trouble", { status: 502, partBytes: 9, cuts: 9 }, null],
    ["somebody asks for a pause", { status: 429, partBytes: 9 }, null],
    ["a login that has run out", { status: 401, partBytes: 9 }, null],
  ]) {
    it(`know what helps: ${what}`, () => {
      assert.equal(plan.detour({ ...refusal, ...given }), expected);
    });
  }

  /** Lets rounds pass on a line of which `rate` tells what so many requests bring. */
  function rounds(count, rate, seconds = 3) {
    const lanes = new plan.Lanes(6);
    const seen = [];
    for (let at = 0, round = 0; round < count; round += 1) {
      const end = at + seconds * 1_000;
      lanes.moved(rate(lanes.count) * seconds);
      for (let left = lanes.count; left > 0; left -= 1) lanes.ended(end);
      seen.push(lanes.count);
      at = end;
    }
    return seen;
  }

  it("have more on their way only where that brings more", () => {
    const far = rounds(12, (count) => count * 1000);
    assert.equal(far.at(-1), 6, `${far}`);
    const full = rounds(40, () => 1000);
    assert.ok(Math.max(...full) <= 4 && full.includes(1), `${full}`);
    const middle = rounds(40, (count) => Math.min(count, 2) * 1000);
    const most = middle.filter((count) => count === 2).length;
    assert.ok(most > 20, `${middle}`);
    assert.deepEqual(
      rounds(2, () => 1000, 15),
      [2, 1],
      "long parts need no company",
    );
    const lanes = new plan.Lanes(2);
    assert.equal(lanes.count, 2);
    for (let left = 9; left > 0; left -= 1) lanes.failed(0);
    assert.equal(lanes.count, 1);
  });

  function boxed(name, content, bytes = content.length + 8) {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(bytes);
    head.write(name, 4, "latin1");
    return Buffer.concat([head, content]);
  }
  const first = (...boxes) => film.neededFirst(new Blob(boxes));

  it("find a film's index before and behind", async () => {
    const head = boxed("ftyp", Buffer.from("isom"));
    const index = boxed("moov", Buffer.alloc(90, 7));
    const media = boxed("mdat", Buffer.alloc(500, 9));
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(516n);
    const large = boxed("mdat", Buffer.concat([length, Buffer.alloc(500, 9)]), 1);
    const free = boxed("free", Buffer.alloc(30));
    assert.deepEqual(await first(head, index, media), [
      [0, 16],
      [12, 110],
    ]);
    assert.deepEqual(await first(head, large, free, index, free), [
      [0, 16],
      [12, 28],
      [528, 544],
      [566, 664],
    ]);
    const nothing = [
      [Buffer.from("just text, and quite a lot of it")],
      [head, boxed("moof", Buffer.alloc(99)), index],
      [head, boxed("mdat", Buffer.alloc(40), 0), index],
      [head, boxed("free", Buffer.alloc(40), 3), index],
      [head, boxed("moov", Buffer.alloc(40), 999)],
      [],
    ];
    for (const boxes of nothing) assert.deepEqual(await first(...boxes), []);
  });

  it("sum up a piece of a file as everybody does", async () => {
    for (const length of [0, 1, 55, 56, 63, 64, 119, MIB - 1, MIB, MIB + 1, 2 * MIB + 60]) {
      const bytes = randomBytes(length);
      const expected = createHash("sha256").update(bytes).digest("hex");
      assert.equal(await sums.sha256(new Blob([bytes])), expected, `${length} bytes`);
    }
  });
});
