// More photos of the garment that is asked for: small copies, each with a button that takes it away.

import { byId, button, el } from "./dom.js";

export const MOST_PHOTOS = 10; // of one query, the first one included
const LONGEST_SIDE = 1024; // of a further photo, pixels: together they go into one request

export class Views {
  #kept = [];

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  get full() {
    return this.#kept.length >= MOST_PHOTOS - 1;
  }

  /** Files to send along. */
  get files() {
    return this.#kept.map(({ file }) => file);
  }

  /** @param {HTMLImageElement} image decoded */
  async add(image) {
    const file = await drawn(image, [0, 0, image.naturalWidth, image.naturalHeight]);
    this.#kept.push({ file, url: URL.createObjectURL(file) });
    this.#show();
  }

  clear() {
    this.#kept.forEach(({ url }) => URL.revokeObjectURL(url));
    this.#kept = [];
    this.#show();
  }

  #remove(view) {
    URL.revokeObjectURL(view.url);
    this.#kept = this.#kept.filter((each) => each !== view);
    this.#show();
    this.changed();
  }

  #show() {
    byId("views").replaceChildren(...this.#kept.map((view, i) => el("li", {},
      el("img", { src: view.url, alt: `Photo ${i + 2}` }),
      button("✕", () => this.#remove(view), { "aria-label": `Take photo ${i + 2} away` }))));
    byId("views").hidden = this.#kept.length === 0;
    byId("more").disabled = this.full;
  }
}

/** What is inside a box x1, y1, x2, y2 of a picture, in its pixels, as a JPEG of at most `LONGEST_SIDE`. */
export function drawn(image, [x1, y1, x2, y2], longest = LONGEST_SIDE) {
  const scale = Math.min(1, longest / Math.max(x2 - x1, y2 - y1));
  const [width, height] = [x2 - x1, y2 - y1].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, x1, y1, x2 - x1, y2 - y1, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}
