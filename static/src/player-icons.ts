/** The player's pictures; what they say stands on their buttons. */

const drawings = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M8 5v14M16 5v14",
  again: "M4 12a8 8 0 1 0 2.6-5.9M4 4v5h5",
  loud: "M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  quiet: "M4 9.5v5h3.5L12 18V6L7.5 9.5zM16 10l5 5m0-5-5 5",
  captions: "M3.5 6h17v12h-17zM10.5 10.8a2 2 0 1 0 0 2.6m6.5-2.6a2 2 0 1 0 0 2.6",
  settings:
    "M4 8h8m4 0h4M4 16h3m4 0h9M14 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z" +
    "M9 18a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  apart: "M20 11V5H4v13h6M13 13.5h8V19h-8z",
  wide: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
  narrow: "M9 4v5H4m16 0h-5V4m0 16v-5h5M4 15h5v5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  on: "M9 5l7 7-7 7",
  back: "M15 5l-7 7 7 7",
} as const;
export type Drawing = keyof typeof drawings;

const SVG = "http://www.w3.org/2000/svg";
/** Drawings that point the way people read. */
const POINTING: readonly Drawing[] = ["on", "back"];

export function draw(name: Drawing): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", POINTING.includes(name) ? "icon pointing" : "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  redraw(svg, name);
  return svg;
}

/** Changes what is drawn. */
export function redraw(svg: SVGSVGElement, name: Drawing): void {
  const path = svg.firstElementChild;
  if (path?.getAttribute("d") !== drawings[name]) path?.setAttribute("d", drawings[name]);
}
