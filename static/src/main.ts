/** Gives the pages their elements. Each page's HTML names the ones it wants. */

import { SlipwayAdmin } from "./admin";
import { SlipwayLibrary } from "./library";
import { SlipwayLogin } from "./login";
import { SlipwayPlayer } from "./player";
import { SlipwayUpload } from "./upload";
import { SlipwayHeader } from "./view";
import { SlipwayEmbed, SlipwayWatch } from "./watch";
import { words } from "./words";

/** What the tab says until a page has more to tell. */
const pageTitles: Record<string, string> = {
  "page-upload": words.upload.title,
  "page-library": words.nav.library,
  "page-admin": words.admin.title,
  "page-login": words.nav.login,
  "page-docs": words.docs.title,
};

const title = pageTitles[document.body.className];
if (title) document.title = `${title} · ${words.product}`;

customElements.define("slipway-header", SlipwayHeader);
customElements.define("slipway-player", SlipwayPlayer);
customElements.define("slipway-upload", SlipwayUpload);
customElements.define("slipway-library", SlipwayLibrary);
customElements.define("slipway-watch", SlipwayWatch);
customElements.define("slipway-embed", SlipwayEmbed);
customElements.define("slipway-admin", SlipwayAdmin);
customElements.define("slipway-login", SlipwayLogin);
// Only one page has it, and no other should wait for it.
if (document.querySelector("slipway-docs")) {
  void import("./docs").then(({ SlipwayDocs }) =>
    customElements.define("slipway-docs", SlipwayDocs),
  );
}
