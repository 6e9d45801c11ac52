/** Gives pages their elements: the server's own, and any site's that has a `<slipway-…>`. */

import { isOurs } from "./door";
import { forAll, provideAll, type Sources } from "./elements";
import { facts } from "./units";
import { SlipwayHeader } from "./view";
import { words } from "./words";

/** What the tab says until a page has more to tell. */
const pageTitles: Record<string, string> = {
  "page-upload": words.upload.title,
  "page-grant": words.upload.title,
  "page-library": words.nav.library,
  "page-admin": words.admin.title,
  "page-account": words.account.title,
  "page-login": words.nav.login,
  "page-docs": words.docs.title,
};

/** Elements that make the server's own pages. */
const forOurs: Sources = {
  "slipway-library": async () => (await import("./library/library")).SlipwayLibrary,
  "slipway-watch": async () => (await import("./watch")).SlipwayWatch,
  "slipway-embed": async () => (await import("./watch")).SlipwayEmbed,
  "slipway-admin": async () => (await import("./admin/admin")).SlipwayAdmin,
  "slipway-account": async () => (await import("./account/account")).SlipwayAccount,
  "slipway-login": async () => (await import("./login")).SlipwayLogin,
  "slipway-grant": async () => (await import("./grant")).SlipwayGrant,
  "slipway-docs": async () => (await import("./docs")).SlipwayDocs,
};

if (isOurs) {
  const title = pageTitles[document.body.className];
  if (title) document.title = facts(title, words.product);
  customElements.define("slipway-header", SlipwayHeader);
}
provideAll(isOurs ? { ...forAll, ...forOurs } : forAll);
