/** Gives the pages their elements. Each page's HTML names the ones it wants. */

import { SlipwayAdmin } from "./admin";
import { SlipwayLibrary } from "./library";
import { SlipwayLogin } from "./login";
import { SlipwayPlayer } from "./player";
import { SlipwayUpload } from "./upload";
import { SlipwayHeader } from "./view";
import { SlipwayEmbed, SlipwayWatch } from "./watch";

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
