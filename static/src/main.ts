/** Gives pages their elements: the server's own, and any site's that has a `<slipway-…>`. */

import { isOurs } from "./door";
import { provideAll } from "./elements";
import { SlipwayHeader } from "./view";
import { words } from "./words";

/** What the tab says until a page has more to tell. */
const pageTitles: Record<string, string> = {
  "page-upload": words.upload.title,
  "page-library": words.nav.library,
  "page-admin": words.admin.title,
  "page-login": words.nav.login,
  "page-docs": words.docs.title,
};

if (isOurs) {
  const title = pageTitles[document.body.className];
  if (title) document.title = `${title} · ${words.product}`;
  customElements.define("slipway-header", SlipwayHeader);
}
provideAll();
