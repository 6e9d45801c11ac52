// Every page for everybody: no violation of WCAG 2.2 AA that axe-core finds, in both colour
// schemes, on a desktop and on a narrow phone, in a language that is written from right to left.

import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import {
  begin,
  chooseFiles,
  logInTo,
  openPage,
  PATIENCE_MS,
  rowOf,
  until,
} from "./slipway.mjs";

const packages = createRequire(new URL("../../static/package.json", import.meta.url));
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 320, height: 640 } };

describe("access", { timeout: 8 * PATIENCE_MS }, () => {
  let server, browser, media, state, account, open, axe, film;

  begin({ media: {} }, async (made) => {
    ({ server, browser, media, state, open } = made);
    axe = await readFile(packages.resolve("axe-core/axe.min.js"), "utf8");
    film = await uploaded();
    await server.bring(media.at("rotated.mp4"), { visibility: "private", title: "Mine" });
    account = await logInTo(browser, server, "acme/ann-with-a-name-that-goes-on-and-on");
  });

  /** Uploads a film and what is none, and returns the film's watch page once it is ready. */
  async function uploaded() {
    const { context, page } = await open();
    await chooseFiles(page, [media.at("faststart.mp4"), media.at("text.mp4")]);
    await rowOf(page, "text.mp4").getByText("Failed").waitFor();
    const row = rowOf(page, "faststart.mp4");
    await row.getByText("Ready").waitFor();
    const href = await row.getByRole("link", { name: /^Watch/ }).getAttribute("href");
    await context.close();
    return href;
  }

  /** Where each page is when there is something on it to judge. */
  const pages = {
    "the upload page": {
      path: () => "/",
      ready: async (page) => {
        await chooseFiles(page, [media.at("rotated.mp4"), media.at("text.mp4")]);
        await rowOf(page, "text.mp4").locator("[data-phase=failed], .row-problem").first().waitFor();
        await rowOf(page, "rotated.mp4").and(page.locator("[data-phase=ready]")).waitFor();
      },
    },
    "the library": {
      path: () => "/library",
      ready: (page) => page.getByRole("link").filter({ hasText: /faststart/ }).first().waitFor(),
    },
    "the dialog for links": {
      // By name: in a long list the buttons of what isn't near the screen aren't there.
      path: () => "/library?q=Mine",
      ready: async (page) => {
        await page.getByRole("button", { name: "Share: Mine" }).click();
        await page.getByRole("button", { name: "Make a link" }).click();
        await page.getByRole("status", { name: "Link" }).waitFor();
      },
    },
    "the watch page": {
      path: () => film,
      ready: (page) =>
        until("the film plays", () =>
          page.locator("video").evaluate((it) => it.readyState >= 2).catch(() => false),
        ),
    },
    "the embedded player": {
      path: () => film.replace("/watch/", "/embed/"),
      ready: (page) =>
        until("the film plays", () =>
          page.locator("video").evaluate((it) => it.readyState >= 2).catch(() => false),
        ),
    },
    "the server's page": {
      path: () => "/admin",
      ready: (page) => page.getByRole("heading", { level: 2 }).first().waitFor(),
    },
    "the dialog for a token": {
      path: () => "/admin",
      ready: async (page) => {
        await page.getByRole("button", { name: "New token" }).click();
        await page.getByRole("dialog").getByRole("checkbox").first().waitFor();
      },
    },
    "the API's page": {
      path: () => "/docs",
      ready: (page) => page.getByRole("heading", { level: 2 }).nth(3).waitFor(),
    },
    "the page of one's account": {
      path: () => "/account",
      state: () => account,
      ready: (page) => page.getByRole("table").getByText("this browser").waitFor(),
    },
    "the login page": {
      path: () => "/login",
      stranger: true,
      ready: (page) => page.getByRole("textbox").first().waitFor(),
    },
  };

  async function look(name, { colorScheme = "light", size = "desktop", locale = "en-US" }) {
    const { path, ready, stranger, state: own } = pages[name];
    const context = await browser.newContext({
      ...(stranger ? {} : { storageState: own ? own() : state }),
      colorScheme,
      locale,
      viewport: SIZES[size],
      reducedMotion: "reduce",
    });
    const page = await openPage(context);
    await page.goto(server.base + path());
    await ready(page);
    return { page, close: () => context.close() };
  }

  async function judge(page) {
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(
      (values) => window.axe.run(document, { runOnly: { type: "tag", values } }),
      RULES,
    );
    assert.ok(passes.length > 10, "the page was looked at");
    return violations.map(
      ({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((it) => it.html).join("\n  ")}`,
    );
  }

  for (const name of Object.keys(pages)) {
    it(`finds nothing against ${name}, light and dark, wide and narrow`, async () => {
      const said = [];
      for (const size of Object.keys(SIZES)) {
        const { page, close } = await look(name, { size });
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          said.push(...(await judge(page)).map((it) => `${colorScheme}, ${size}: ${it}`));
        }
        const wider = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (wider > 0) said.push(`${size}: ${wider} px stick out at the side`);
        page.assertQuiet();
        await close();
      }
      assert.deepEqual(said, []);
    });
  }

  it("stands still for those who want it to", async () => {
    const { page, close } = await look("the library", {});
    const moving = await page.evaluate(() =>
      document.getAnimations().filter((it) => it.playState === "running").length,
    );
    assert.equal(moving, 0);
    await close();
  });
});
