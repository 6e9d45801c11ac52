// The operators' page: one look says whether all is well, and each thing that isn't is mended from
// there.

import { after, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { mkdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { begin, openPage, PATIENCE_MS, until } from "./slipway.mjs";

/** The address for operators, as somebody has it open who is logged in. */
async function openAdmin(open, options = {}) {
  const { context, page, done } = await open("/admin", options);
  const part = (name) => page.getByRole("region", { name, exact: true });
  const verdict = () => part("Health").getByRole("status");
  await part("Health").getByText("Running for").waitFor();
  return { context, page, part, verdict, done };
}

const rowOf = (part, title) => part.getByRole("row").filter({ hasText: title });

describe("admin", { timeout: 6 * PATIENCE_MS }, () => {
  let server, browser, media, state, open;

  begin({ media: { long: true } }, (made) => ({ server, browser, media, state, open } = made));

  it("says that all is well, what runs here and how it is confined", async () => {
    const { context, page, part, verdict } = await openAdmin(open);
    await verdict().getByText("All is well").waitFor();
    await part("Working on now").getByText("Nothing is being processed.").waitFor();
    await part("Waiting").getByText("Nothing waits.").waitFor();
    await part("Failed").getByText("Nothing has failed.").waitFor();
    await part("Uploads on their way").getByText("Nothing is on its way.").waitFor();
    await part("Trash").getByText("The trash is empty.").waitFor();
    await part("Webhooks").getByText("None are set up.").waitFor();
    assert.match(await part("Disk").innerText(), /free of [\d.]+ [MGT]B[^]*are always kept free/);
    const about = part("About this server");
    const exact = { exact: true };
    for (const layer of ["Landlock", "seccomp", "No new privileges", "Limits"]) {
      await about.getByRole("listitem").filter({ hasText: layer }).getByText("on", exact).waitFor();
    }
    assert.match(await about.innerText(), /Slipway\s+\d+\.\d+[^]*avformat/);
    page.assertQuiet();
    await context.close();
  });

  it("pauses, orders the line with buttons, keys and the mouse, and goes on", async () => {
    const { context, page, part, verdict } = await openAdmin(open);
    const line = part("Waiting");
    await line.getByRole("button", { name: "Pause the queue" }).click();
    await verdict().getByText("The queue is paused").waitFor();
    const films = {};
    for (const name of ["One", "Two", "Three"]) {
      films[name] = await server.bring(media.at("longer.mp4"), { title: `Lesson ${name}` });
    }
    const order = async () =>
      (await line.getByRole("link").allInnerTexts()).map((title) => title.split(" ")[1]);
    const stands = (...wanted) =>
      until(`the line is ${wanted}`, order, (now) => now.join() === wanted.join());
    await stands("One", "Two", "Three");
    const press = (action, name) =>
      line.getByRole("button", { name: `${action}: Lesson ${name}` });
    await press("To the front", "Three").click();
    await stands("Three", "One", "Two");
    await press("Up", "Two").focus();
    await page.keyboard.press("Enter");
    await stands("Three", "Two", "One");
    await press("Down", "Three").click();
    await stands("Two", "Three", "One");
    await rowOf(line, "Lesson One").dragTo(rowOf(line, "Lesson Two"));
    await stands("One", "Two", "Three");
    const real = await server.ask("GET", "/api/admin/queue");
    assert.deepEqual(
      real.items.map((job) => job.videoId),
      [films.One, films.Two, films.Three],
      "the server has the order that is shown",
    );
    await press("Cancel", "Three").click();
    await stands("One", "Two");
    await line.getByRole("button", { name: "Resume the queue" }).click();
    const running = part("Working on now");
    const row = rowOf(running, "Lesson");
    await row.getByText("Making the qualities").first().waitFor();
    const cells = () => row.first().innerText();
    // Its memory and its qualities are told with its first report.
    await until("it says what it takes", cells, (said) => /\d MB/.test(said) && /\dp \d/.test(said));
    await server.settled(films.One);
    await server.settled(films.Two);
    await running.getByText("Nothing is being processed.").waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("says why something failed and what helps, and tries it again", async () => {
    const letter = await server.bring(media.at("text.mp4"), { title: "A letter" });
    await server.settled(letter, "failed");
    const { context, page, part, verdict } = await openAdmin(open);
    await verdict().getByText("failed in the last day").waitFor();
    await part("Health").getByRole("link", { name: "Show me" }).click();
    assert.equal(new URL(page.url()).hash, "#failures");
    const failed = part("Failed");
    const hopeless = rowOf(failed, "A letter");
    await hopeless.getByText("This file isn't a video we can play").waitFor();
    await hopeless.getByText("Send a film or a sound in a common format").waitFor();
    assert.equal(await hopeless.getByRole("button").count(), 0, "another try wouldn't help");
    // The one that was cancelled in the line before.
    const hopeful = rowOf(failed, "Lesson Three");
    await hopeful.getByText("Processing was cancelled").waitFor();
    const what = hopeful.getByRole("combobox", { name: "What to make: Lesson Three" });
    await what.selectOption("Anew: Making the picture");
    const asked = page.waitForRequest(/retry-processing/);
    await hopeful.getByRole("button", { name: "Try again: Lesson Three" }).click();
    assert.deepEqual((await asked).postDataJSON(), { stage: "poster" });
    await hopeful.waitFor({ state: "detached" });
    const { items } = await server.ask("GET", "/api/videos?q=Lesson Three");
    await server.settled(items[0].id);
    await part("What happened").getByText("Ready: Lesson Three").waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("shows whose uploads are on their way, and how fast", async () => {
    const made = server.command("token", "create", "--role", "uploader", "--user", "ann");
    const ann = made.trim();
    const size = 64 << 20;
    const about = { filename: "Regatta.mov", size, chunkSize: 1 << 20 };
    const path = "/api/videos/upload/initiate";
    const { uploadId, partUrls } = await server.ask("POST", path, about, ann);
    const { context, page, part } = await openAdmin(open);
    const uploads = part("Uploads on their way");
    const row = rowOf(uploads, "Regatta.mov");
    await row.getByText("ann").waitFor();
    const said = () => row.innerText();
    let sent = 0;
    const isFast = (now) => /[\d.]+ [KM]B\/s/.test(now);
    while (!isFast(await said())) {
      const body = Buffer.alloc(1 << 20, "x");
      const stored = await fetch(server.base + partUrls[sent++].url, { method: "PUT", body });
      assert.ok(stored.ok && sent < 60, `part ${sent}: ${stored.status}`);
      await row.getByText(`${((sent * (1 << 20)) / 1e6).toFixed(1)} MB of 67.1 MB`).waitFor();
    }
    await server.ask("DELETE", `/api/videos/upload/${uploadId}`, undefined, ann);
    await row.waitFor({ state: "detached" });
    page.assertQuiet();
    await context.close();
  });

  it("brings back what was deleted, and deletes for good after asking", async () => {
    const back = await server.bring(media.at("faststart.mp4"), { title: "Brought back" });
    const gone = await server.bring(media.at("vp9.webm"), { title: "Gone for good" });
    for (const id of [back, gone]) {
      await server.settled(id);
      await server.ask("DELETE", `/api/videos/${id}`);
    }
    const { context, page, part } = await openAdmin(open);
    const trash = part("Trash");
    await trash.getByRole("button", { name: "Restore: Brought back" }).click();
    await rowOf(trash, "Brought back").waitFor({ state: "detached" });
    assert.equal((await server.ask("GET", `/api/videos/${back}`)).state, "ready");
    const remove = trash.getByRole("button", { name: "Delete for good: Gone for good" });
    await remove.click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Keep it" }).click();
    await remove.click();
    await dialog.getByRole("button", { name: "Delete for good" }).click();
    await trash.getByText("The trash is empty.").waitFor();
    const left = await server.ask("GET", "/api/videos?trashed=true");
    assert.deepEqual(left.items, []);
    page.assertQuiet();
    await context.close();
  });

  it("shows the disk by kind and the last hour and day, as pictures and as tables", async () => {
    const { context, page, part } = await openAdmin(open);
    const disk = part("Disk");
    await disk.getByRole("button", { name: "Measure again" }).click();
    const kinds = disk.getByRole("table", { name: "What takes space" });
    const originals = () => rowOf(kinds, "Originals").innerText();
    await until("the originals weigh something", originals, (said) => /[1-9]\S* MB/.test(said));
    await disk.getByText("Measured now.").waitFor();
    const { audit } = await server.ask("GET", "/api/admin/storage");
    assert.match(await originals(), new RegExp(`\\b${audit.total.originals.files}\\b`));

    const lately = part("Lately");
    const bytes = lately.getByRole("img", { name: /^Received, Last hour: [\d.]+ MB in all/ });
    await bytes.waitFor();
    await lately.getByRole("img", { name: /^Processing speed, Last hour: [\d.]+× in all/ }).waitFor();
    const table = lately.getByRole("table", { name: "Uploads" });
    await lately.getByText("As a table Uploads").click();
    assert.equal(await table.getByRole("row").count(), 7);
    await lately.getByRole("button", { name: "Last day" }).click();
    await lately.getByRole("img", { name: /^Received, Last day: [\d.]+ MB in all/ }).waitFor();
    assert.equal(await table.getByRole("row").count(), 25);
    // The page may have asked a moment before the last of them was counted.
    const agree = async () => {
      const numbers = (await table.getByRole("cell").allInnerTexts()).map(Number);
      const { day } = await server.ask("GET", "/api/admin/figures");
      return [numbers.reduce((sum, number) => sum + number), day.uploads];
    };
    await until("page and server agree", agree, ([shown, counted]) => shown === counted);
    page.assertQuiet();
    await context.close();
  });

  it("looks what there is to clean up before it does, and keeps a record", async () => {
    const { context, page, part } = await openAdmin(open);
    const house = part("Cleaning up");
    const look = house.getByRole("button", { name: "Look what there is" });
    const clean = house.getByRole("button", { name: "Clean up now" });
    await look.click();
    await house.getByRole("status").getByText("Everything is in its place.").waitFor();
    assert.equal(await clean.count(), 0, "there is nothing to clean up");
    const left = join(server.dir, "data/tmp/uploads/ab/01890000-0000-7000-8000-0000000000ab");
    await mkdir(left, { recursive: true });
    await writeFile(join(left, "blob"), Buffer.alloc(5_000));
    // What is young may just be coming.
    const then = new Date(Date.now() - 2 * 3_600_000);
    for (const path of [join(left, "blob"), left]) await utimes(path, then, then);
    await look.click();
    await house.getByRole("status").getByText("1 thing to do, 5.0 KB.").waitFor();
    await house.getByText(/^Left over from uploads: 1 .* to be removed$/).waitFor();
    assert.ok(existsSync(left), "it was only looked");
    // The focus is where one goes on.
    await until("the button has it", () => clean.evaluate((it) => it === document.activeElement));
    await page.keyboard.press("Enter");
    await house.getByRole("status").getByText("1 thing done").waitFor();
    assert.ok(!existsSync(left));
    const rounds = house.getByRole("table", { name: "Earlier rounds" });
    await rounds.getByRole("cell", { name: "an admin, only looked" }).first().waitFor();
    await rounds.getByRole("cell", { name: "an admin", exact: true }).first().waitFor();
    page.assertQuiet();
    await context.close();
  });

  it("tells of stuck work that was found, and why", async () => {
    await server.ask("PUT", "/api/admin/queue", { paused: true });
    const stranded = await server.bring(media.at("faststart.mp4"), { title: "Stranded" });
    await server.whileStopped(() => strand(server, stranded));
    const { context, page, part } = await openAdmin(open);
    const stuck = part("Stuck work that was found");
    const row = stuck.getByRole("row").filter({ hasText: stranded });
    await row.getByText("Video without work · in line again").waitFor();
    await row.getByText("It was Queued and no job was open.").waitFor();
    await rowOf(part("Waiting"), "Stranded").getByText("had got lost").waitFor();
    await part("Waiting").getByRole("button", { name: "Resume the queue" }).click();
    await server.settled(stranded);
    page.assertQuiet();
    await context.close();
  });

  it("ends a token after asking, but not the one in use", async () => {
    server.command("token", "create", "--role", "viewer", "--name", "old phone");
    const { context, page, part } = await openAdmin(open);
    const access = part("Access");
    await rowOf(access, "admin-token").getByText("in use here").waitFor();
    await access.getByRole("button", { name: "Revoke: old phone" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await rowOf(access, "old phone").waitFor({ state: "detached" });
    assert.ok(!server.command("token", "list").includes("old phone"));
    page.assertQuiet();
    await context.close();
  });

  it("makes a token, whose secret is shown once and works", async () => {
    const { page, part } = await openAdmin(open, {
      allow: [/400/],
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const access = part("Access");
    await access.getByRole("button", { name: "New token" }).click();
    const dialog = page.getByRole("dialog");
    const owner = dialog.getByLabel("Owner");
    await dialog.getByLabel("Name").fill("new phone");
    await owner.fill("a/b/c");
    await dialog.getByRole("button", { name: "New token" }).click();
    await dialog.getByRole("alert").getByText("with one slash").waitFor();
    await owner.fill("acme/ann");
    await dialog.getByLabel(/Uploads in all/).fill("3");
    await dialog.getByRole("button", { name: "New token" }).click();
    const shown = page.getByRole("dialog", { name: "Copy the token now" });
    const secret = await shown.locator("output").innerText();
    await shown.getByRole("button", { name: "Copy" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    assert.match(secret, /^slw_[\w-]{43}$/);
    const headers = { Authorization: `Bearer ${secret}` };
    const session = await (await fetch(`${server.base}/api/session`, { headers })).json();
    assert.deepEqual([session.owner, session.org, session.role], ["acme/ann", "acme", "uploader"]);
    await shown.getByRole("button", { name: "Done" }).click();
    await rowOf(access, "new phone").getByText("0 of 3 uploads begun").waitFor();
    assert.ok(!(await page.content()).includes(secret), "it is nowhere any more");
  });

  it("confines a token to scopes and limits, which the list tells", async () => {
    const { page, part, done } = await openAdmin(open);
    const access = part("Access");
    await access.getByRole("button", { name: "New token" }).click();
    const dialog = page.getByRole("dialog", { name: "New token" });
    const scope = (name) => dialog.getByRole("checkbox", { name });
    const role = dialog.getByLabel("May");
    const size = dialog.getByLabel(/Largest file/);
    await dialog.getByLabel("Name").fill("importer");
    // What a role can't use isn't offered.
    await role.selectOption("viewer");
    await scope(/upload:create/).waitFor({ state: "hidden" });
    await size.waitFor({ state: "hidden" });
    await role.selectOption("admin");
    await scope(/run the server/).check();
    await dialog.getByLabel("Owner").fill("acme/ann");
    await scope(/run the server/).waitFor({ state: "hidden" });
    await scope(/video:read/).check();
    await size.waitFor({ state: "hidden" });
    await scope(/upload:create/).focus();
    await page.keyboard.press("Space");
    await size.fill("1.5");
    await dialog.getByLabel("Unit").selectOption("GB");
    await dialog.getByLabel(/Uploads in all/).fill("5");
    await dialog.getByLabel("Kinds of files").selectOption("Videos and sound");
    await dialog.getByLabel(/Days until/).fill("30");
    await role.selectOption("uploader");
    await dialog.getByRole("button", { name: "New token" }).click();
    const secret = await page.locator("output.secret").innerText();
    await page.getByRole("button", { name: "Done" }).click();
    const row = rowOf(access, "importer");
    const only = "only: see and play videos, upload";
    const limits = "Videos and sound · up to 1.5 GB each · 0 of 5 uploads begun";
    for (const said of [only, limits, "in 30 days", "acme/ann"]) {
      await row.getByText(said).first().waitFor();
    }
    const { items } = await server.ask("GET", "/api/admin/tokens");
    const made = items.find((token) => token.name === "importer");
    assert.deepEqual(made.scopes, ["video:read", "upload:create"]);
    assert.deepEqual(made.accept, ["video/*", "audio/*"]);
    assert.deepEqual([made.role, made.maxSize, made.maxUploads], ["uploader", 1_500_000_000, 5]);
    const session = await server.ask("GET", "/api/session", undefined, secret);
    assert.equal(session.limits.maxSize, 1_500_000_000);
    await access.getByRole("button", { name: "Revoke: importer" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await row.waitFor({ state: "detached" });
    const headers = { Authorization: `Bearer ${secret}` };
    assert.equal((await fetch(`${server.base}/api/session`, { headers })).status, 401);
    await done();
  });

  it("makes an account that logs in by its password, until it is disabled", async () => {
    const { page, part } = await openAdmin(open);
    const accounts = part("Accounts");
    await accounts.getByText("There are no accounts.").waitFor();
    await accounts.getByRole("button", { name: "New account" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("acme/ann");
    await dialog.getByLabel("Password").fill("correct horse");
    await dialog.getByRole("button", { name: "New account" }).click();
    await rowOf(accounts, "acme/ann").getByText("upload and watch").waitFor();

    const theirs = await browser.newContext();
    // The library that is still open when the account is disabled is told so.
    const login = await openPage(theirs, [/401 \(Unauthorized\)/]);
    const enter = async (password) => {
      await login.goto(`${server.base}/login?next=/library`);
      await login.getByLabel("Name").fill("acme/ann");
      await login.getByLabel("Password").fill(password);
      await login.getByRole("button", { name: "Log in", exact: true }).first().click();
    };
    await enter("wrong horse");
    await login.getByRole("alert").getByText("Name and password don't fit.").waitFor();
    await enter("correct horse");
    await login.waitForURL(`${server.base}/library`);
    await login.getByRole("link", { name: "Upload" }).first().waitFor();
    assert.equal(await login.getByRole("link", { name: "Admin" }).count(), 0);

    const promote = accounts.getByRole("button", { name: "Change what it may: acme/ann" });
    await promote.click();
    const chosen = page.getByRole("dialog", { name: "Change what it may: acme/ann" });
    await chosen.getByLabel("May").selectOption("viewer");
    await chosen.getByRole("button", { name: "Save" }).click();
    await rowOf(accounts, "acme/ann").getByText(/^watch/).waitFor();
    await login.reload();
    await login.getByRole("link", { name: "Library" }).first().waitFor();
    const { role } = await login.evaluate(async () => (await fetch("/api/session")).json());
    assert.equal(role, "viewer", "it counts at once");
    await accounts.getByRole("button", { name: "Set password: acme/ann" }).click();
    const renewed = page.getByRole("dialog");
    await renewed.getByLabel("Password").fill("another horse");
    await renewed.getByRole("button", { name: "Set password" }).click();
    await renewed.waitFor({ state: "detached" });
    await enter("correct horse");
    await login.getByRole("alert").getByText("Name and password don't fit.").waitFor();
    await enter("another horse");
    await login.waitForURL(`${server.base}/library`);

    await accounts.getByRole("button", { name: "Disable: acme/ann" }).click();
    await accounts.getByRole("button", { name: "Enable: acme/ann" }).waitFor();
    await enter("another horse");
    await login.getByRole("alert").getByText("Name and password don't fit.").waitFor();
    await accounts.getByRole("button", { name: "Remove: acme/ann" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await accounts.getByText("There are no accounts.").waitFor();
    login.assertQuiet();
    await theirs.close();
  });

  it("hears over a socket, and over an event stream where there are none", async () => {
    for (const hasSockets of [true, false]) {
      const context = await browser.newContext({ storageState: state });
      const page = await openPage(context, hasSockets ? [] : [/WebSocket/]);
      const opened = [];
      page.on("websocket", (socket) => opened.push(new URL(socket.url()).pathname));
      page.on("request", (request) => opened.push(new URL(request.url()).pathname));
      if (!hasSockets) {
        // As a browser does behind a proxy that knows none.
        await page.addInitScript(() => {
          window.WebSocket = class extends EventTarget {
            constructor() {
              super();
              queueMicrotask(() => this.onclose?.(new CloseEvent("close")));
            }
            close() {}
          };
        });
      }
      await page.goto(`${server.base}/admin`);
      const health = page.getByRole("region", { name: "Health" });
      await health.getByText(/ · Live$/).waitFor();
      const way = hasSockets ? "/api/ws" : "/api/events";
      assert.ok(opened.includes(way), `${opened}`);
      const title = `Heard ${hasSockets}`;
      const id = await server.bring(media.at("faststart.mp4"), { title });
      const happened = page.getByRole("region", { name: "What happened" });
      await happened.getByText(`Ready: ${title}`).waitFor();
      await server.ask("DELETE", `/api/videos/${id}?permanent=true`);
      page.assertQuiet();
      await context.close();
    }
  });

  it("is usable on the narrowest screen, with nothing beside it", async () => {
    const viewport = { width: 320, height: 640 };
    const { context, page, part } = await openAdmin(open, { viewport });
    await rowOf(part("Failed"), "A letter").waitFor();
    await part("Disk").getByText(/^Measured .*\.$/).last().waitFor();
    const wide = () =>
      page.evaluate(() =>
        [...document.querySelectorAll("main *")]
          .filter((it) => it.checkVisibility() && it.getBoundingClientRect().right > 320)
          .map((it) => `${it.closest("section")?.id} ${it.tagName} ${it.textContent}`.slice(0, 80)),
      );
    const over = () =>
      page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
    assert.equal(await over(), 0, `${await wide()}`);
    const failed = rowOf(part("Failed"), "A letter");
    await failed.getByRole("cell", { name: /Send a film/ }).waitFor();
    const inside = await failed.evaluate((row) => row.getBoundingClientRect().right);
    assert.ok(inside <= 320, `the row ends at ${inside}`);
    page.assertQuiet();
    await context.close();
  });

  it("says that the server doesn't answer, and that it does again", async () => {
    const allow = [/ERR_CONNECTION|WebSocket|Failed to load/];
    const { context, page, verdict } = await openAdmin(open, { allow });
    await server.whileStopped(async () => {
      await verdict().getByText("The server doesn't answer").waitFor();
      await page.getByText("systemctl status slipway").waitFor();
    });
    await verdict().getByText("failed in the last day").waitFor();
    page.assertQuiet();
    await context.close();
  });
});

describe("webhooks", { timeout: 4 * PATIENCE_MS }, () => {
  let server, media, open, receiver;
  /** What the receiver answers. */
  let status = 500;

  async function env() {
    receiver = createServer((request, answer) => {
      request.resume().on("end", () => answer.writeHead(status).end());
    });
    await new Promise((ok) => receiver.listen(0, "127.0.0.1", ok));
    const url = `http://127.0.0.1:${receiver.address().port}/hear?key=hidden`;
    const secret = `whsec_${Buffer.alloc(24, "slipway").toString("base64")}`;
    const hooks = `[{ url = "${url}", secret = "${secret}", events = ["video.ready"] }]`;
    return { SLIPWAY_HOOKS__WEBHOOKS: hooks, SLIPWAY_HOOKS__ALLOW_PRIVATE: "true" };
  }
  begin({ env, media: {} }, (made) => ({ server, media, open } = made));
  after(() => receiver?.close());

  it("are tested, seen to fail, and to work once they are mended", async () => {
    const { context, page, part, verdict } = await openAdmin(open);
    const hooks = part("Webhooks");
    const targets = hooks.getByRole("table", { name: "Webhooks" });
    await targets.getByText("Not tried yet").waitFor();
    assert.ok(!(await hooks.innerText()).includes("hidden"), "what may be secret isn't shown");
    await hooks.getByRole("button", { name: "Send a test" }).click();
    // It is tried again within seconds, so the page may not have looked in between.
    await targets.getByText(/^Failed (once|\d+ times in a row)$/).waitFor();
    await verdict().getByText("A webhook can't be reached").waitFor();
    const deliveries = hooks.getByRole("table", { name: "Deliveries" });
    await deliveries.getByRole("row").filter({ hasText: "test" }).getByText("500").waitFor();
    assert.equal(await deliveries.getByRole("button").count(), 0, "it is tried again anyway");

    status = 204;
    await hooks.getByRole("button", { name: "Send a test" }).click();
    await hooks.getByRole("button", { name: "Delivered" }).click();
    const row = deliveries.getByRole("row").filter({ hasText: "204" });
    await row.first().waitFor();
    await verdict().getByText("All is well").waitFor();
    const before = await row.count();
    const video = await server.bring(media.at("faststart.mp4"), { title: "Heard of" });
    await server.settled(video);
    const ready = deliveries.getByRole("row").filter({ hasText: "video.ready" });
    await ready.getByRole("link", { name: "Video" }).waitFor();
    assert.equal(await row.count() > before, true);
    const asked = page.waitForResponse(/deliveries\/[^/]+\/retry$/);
    await ready.getByRole("button", { name: "Send again: video.ready" }).click();
    assert.equal((await asked).status(), 200);
    page.assertQuiet();
    await context.close();
  });
});

/** Has a video forget its work, which no power cut is meant to do. */
async function strand(server, video) {
  const file = join(server.dir, "records.jsonl");
  server.command("db", "export", file);
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n").slice(0, -1);
  const key = `{"key":"v/${video.replaceAll("-", "")}"`;
  const { job } = JSON.parse(lines.find((line) => line.startsWith(key))).record;
  const kept = lines
    .filter((line) => !JSON.parse(line).key?.includes(job.replaceAll("-", "")))
    .map((line) => (line.startsWith(key) ? line.replace(`"job":"${job}"`, '"job":null') : line));
  const text = kept.map((line) => `${line}\n`).join("");
  const sha256 = createHash("sha256").update(text).digest("hex");
  await writeFile(file, `${text}${JSON.stringify({ entries: kept.length - 1, sha256 })}\n`);
  server.command("db", "import", file, "--replace", "--exact");
}
