/** What somebody may do, as one chooses it. */

import { h } from "../view";
import { words } from "../words";
import { ROLES } from "./api";

const w = words.admin.tokens;

/** The choice of a role, the smallest first. */
export function roleField(chosen: string) {
  const select = h("select", { name: "role" });
  for (const role of ROLES) {
    select.append(h("option", { value: role, selected: role === chosen }, w.roles[role] ?? role));
  }
  return { select, element: h("label", {}, w.role, select) };
}
