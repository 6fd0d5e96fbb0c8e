// A crop box over a photo: drag the box, its corners or a new box; arrows move it, Shift and arrows resize it.

import { clamp } from "./dom.js";

const SMALLEST = 0.06; // of a side
const STEP = 0.03;
const WHOLE = Object.freeze([0, 0, 1, 1]);

export class CropBox {
  /** @param {HTMLElement} frame around image and box  @param {() => void} changed called when a change is complete */
  constructor(frame, box, image, place, changed) {
    Object.assign(this, { frame, box, image, place, changed });
    box.addEventListener("pointerdown", (event) => this.#grab(event));
    frame.addEventListener("pointerdown", (event) => {
      if (!box.contains(event.target)) this.#grab(event);
    });
    box.addEventListener("keydown", (event) => this.#key(event));
    this.reset();
  }

  /** The whole picture again. */
  reset() {
    this.#set([...WHOLE]);
  }

  get whole() {
    return this.sides.every((side, i) => side === WHOLE[i]);
  }

  /** x1, y1, x2, y2 in pixels of the upright picture; null for the whole picture. */
  get pixels() {
    if (this.whole) return null;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const [x1, y1, x2, y2] = this.sides;
    return [Math.floor(x1 * width), Math.floor(y1 * height), Math.ceil(x2 * width), Math.ceil(y2 * height)];
  }

  #set(sides) {
    this.sides = sides;
    const [x1, y1, x2, y2] = sides;
    const { style } = this.box;
    style.left = `${x1 * 100}%`;
    style.top = `${y1 * 100}%`;
    style.width = `${(x2 - x1) * 100}%`;
    style.height = `${(y2 - y1) * 100}%`;
    this.box.classList.toggle("whole", this.whole);
  }

  #finish() {
    const words = this.sides.map((side) => `${Math.round(side * 100)} %`);
    this.place.textContent = this.whole
      ? "Whole picture."
      : `From ${words[0]} to ${words[2]} across, ${words[1]} to ${words[3]} down.`;
    this.changed();
  }

  #at(event) {
    const bounds = this.frame.getBoundingClientRect();
    return [
      clamp((event.clientX - bounds.left) / bounds.width, 0, 1),
      clamp((event.clientY - bounds.top) / bounds.height, 0, 1),
    ];
  }

  #grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.box.focus({ preventScroll: true, focusVisible: false });
    const from = this.#at(event);
    const before = [...this.sides];
    const corner = event.target.dataset.corner;
    const inside = this.box.contains(event.target) && !this.whole;
    const drag = corner ? (to) => this.#corner(before, corner, to)
      : inside ? (to) => this.#shift(before, to[0] - from[0], to[1] - from[1])
        : (to) => this.#span(from, to);
    const move = (moved) => drag(this.#at(moved));
    const end = () => {
      this.frame.removeEventListener("pointermove", move);
      if (this.sides.some((side, i) => side !== before[i])) this.#finish();
    };
    this.frame.setPointerCapture(event.pointerId);
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("lostpointercapture", end, { once: true });
  }

  #shift(before, dx, dy) {
    const [x1, y1, x2, y2] = before;
    const x = clamp(dx, -x1, 1 - x2);
    const y = clamp(dy, -y1, 1 - y2);
    this.#set([x1 + x, y1 + y, x2 + x, y2 + y]);
  }

  #corner(before, corner, [x, y]) {
    const [x1, y1, x2, y2] = before;
    const west = corner.includes("w");
    const north = corner.includes("n");
    this.#set([
      west ? Math.min(x, x2 - SMALLEST) : x1,
      north ? Math.min(y, y2 - SMALLEST) : y1,
      west ? x2 : Math.max(x, x1 + SMALLEST),
      north ? y2 : Math.max(y, y1 + SMALLEST),
    ]);
  }

  /** A new box between two points; too small a one is a slip of the hand. */
  #span([ax, ay], [bx, by]) {
    if (Math.abs(ax - bx) < SMALLEST || Math.abs(ay - by) < SMALLEST) return;
    this.#set([Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)]);
  }

  #key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = moves[event.key];
    if (!step) return;
    event.preventDefault();
    const [x1, y1, x2, y2] = this.sides;
    if (event.shiftKey) {
      this.#set([x1, y1, clamp(x2 + step[0], x1 + SMALLEST, 1), clamp(y2 + step[1], y1 + SMALLEST, 1)]);
    } else {
      this.#shift(this.sides, ...step);
    }
    this.#finish();
  }
}
