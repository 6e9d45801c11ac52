/** Small drawings out of SVG elements: no library, no style attributes. */

const SVG = "http://www.w3.org/2000/svg";

/** Makes a drawing of so many units. */
export function svg(name: string, width: number, height: number): SVGSVGElement {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", name);
  made.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return made;
}

/** Makes one shape; `said` is its tooltip. */
export function shape(
  tag: "rect" | "line" | "text",
  attributes: Record<string, string | number>,
  said = "",
): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (tag === "text") made.textContent = said;
  else if (said) {
    const title = document.createElementNS(SVG, "title");
    title.textContent = said;
    made.append(title);
  }
  return made;
}
