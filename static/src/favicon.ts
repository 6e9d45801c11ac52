/** The tab's icon, with a ring that fills as files leave: seen where the title doesn't fit. */

const SIZE = 64;
const WIDTH = 10;
/** Finer steps can't be seen in sixteen pixels. */
const STEPS = 24;

export class Favicon {
  #link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  #usual = this.#link?.href ?? "";
  #type = this.#link?.type ?? "";
  #shown: number | null = null;

  /** Draws a share (0..1), or the usual icon for null. */
  draw(share: number | null): void {
    const step = share === null ? null : Math.floor(share * STEPS);
    if (!this.#link || step === this.#shown) return;
    this.#shown = step;
    this.#link.type = step === null ? this.#type : "image/png";
    this.#link.href = step === null ? this.#usual : ring(step / STEPS);
  }
}

function ring(share: number): string {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const pen = canvas.getContext("2d");
  if (!pen) return "";
  const arc = (colour: string, to: number) => {
    pen.beginPath();
    pen.strokeStyle = colour;
    pen.lineWidth = WIDTH;
    pen.lineCap = "round";
    pen.arc(SIZE / 2, SIZE / 2, (SIZE - WIDTH) / 2, -Math.PI / 2, (to * 2 - 0.5) * Math.PI);
    pen.stroke();
  };
  // Colours that can be told apart on light and dark tabs alike.
  arc("#8aa09b", 1);
  if (share > 0) arc("#0e9c90", share);
  return canvas.toDataURL("image/png");
}
