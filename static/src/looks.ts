/** How the elements look on another site's page, as sheets for a shadow root: no policy forbids them. */

import darkRules from "style:../css/dark.css";
import lightRules from "style:../css/embed.css";

export const light = new CSSStyleSheet();
export const dark = new CSSStyleSheet();
light.replaceSync(lightRules);
dark.replaceSync(darkRules);
