/** The package's entry: the element for any page, whose server is named in it. */

import { provide } from "./elements";

await provide("slipway-upload");
