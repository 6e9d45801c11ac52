// What tests of the player share: its film, its menus, its place.

import { until } from "./slipway.mjs";

export const filmOf = (page) => page.getByLabel(/^Video:/);
export const seekOf = (page) => page.getByRole("slider", { name: "Place in the video" });

/** Plays until two seconds have passed and returns what the element then knows. */
export async function play(page) {
  const video = filmOf(page);
  await until("there is something to play", () => video.evaluate((it) => it.readyState >= 2));
  await video.evaluate((it) => it.play());
  await until(
    "time moves",
    () => video.evaluate((it) => it.currentTime),
    (now) => now > 2,
  );
  return video.evaluate((it) => ({
    duration: it.duration,
    width: it.videoWidth,
    height: it.videoHeight,
    frames: it.getVideoPlaybackQuality().totalVideoFrames,
    soundBytes: it.webkitAudioDecodedByteCount,
    blob: it.currentSrc.startsWith("blob:"),
  }));
}

/** Waits until there is a picture, without playing. */
export async function loaded(page) {
  await until("there is a picture", () => filmOf(page).evaluate((it) => it.readyState >= 2));
}

export const timeOf = (page) => filmOf(page).evaluate((it) => it.currentTime);

/** Waits until the film is at a moment, give or take a picture or two. */
export async function arrives(page, seconds) {
  await until(`the film is at ${seconds}`, () => timeOf(page), (now) => Math.abs(now - seconds) < 0.2);
}

/** Opens a list of the settings (`Quality`) or a menu of its own (`Captions`). */
export async function openList(page, name) {
  await page.locator("slipway-player").hover({ position: { x: 5, y: 100 } });
  if (name === "Captions") await page.getByRole("button", { name, exact: true }).click();
  else {
    await page.getByRole("button", { name: "Settings", exact: true }).click();
    await page.getByRole("menuitem", { name: new RegExp(`^${name}`) }).click();
  }
  const menu = page.getByRole("menu", { name, exact: true });
  await menu.waitFor();
  return menu;
}

/** What a list offers, the chosen one, and how to leave it. */
export async function offered(page, name) {
  const menu = await openList(page, name);
  const choices = menu.getByRole("menuitemradio");
  const names = await choices.locator(".item-name").allInnerTexts();
  const chosen = menu.locator("[aria-checked=true] .item-name");
  const now = (await chosen.count()) > 0 ? await chosen.innerText() : null;
  await page.keyboard.press("Escape");
  if (name !== "Captions") await page.keyboard.press("Escape");
  await menu.waitFor({ state: "hidden" });
  return { names, now };
}

/** Chooses something of a list. */
export async function choose(page, name, choice) {
  const menu = await openList(page, name);
  await menu.getByRole("menuitemradio", { name: choice }).click();
  await menu.waitFor({ state: "hidden" });
}
