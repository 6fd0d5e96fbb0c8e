// A drawing as a list of strokes, in units of a square of SIDE; dark lines on white, as the generator learned them.

export const SIDE = 512;
const INK = "#141414";
const PAPER = "#ffffff";

/** @typedef {{x: number, y: number, pressure: number}} Point pressure in [0, 1], 0.5 for a mouse */
/** @typedef {{points: Point[], width: number, erase: boolean}} Stroke width in units at pressure 0.5 */

export function clear(context) {
  context.fillStyle = PAPER;
  context.fillRect(0, 0, SIDE, SIDE);
}

/** The whole drawing from nothing. */
export function render(context, strokes) {
  clear(context);
  strokes.forEach((stroke) => stroke.points.forEach((_, i) => paint(context, stroke, i)));
}

/** The piece of a stroke that its point `i` adds; a single point is a dot. */
export function paint(context, { points, width, erase }, i) {
  const to = points[i];
  const from = points[i - 1] ?? to;
  context.strokeStyle = erase ? PAPER : INK;
  context.lineWidth = width * (0.4 + 1.2 * to.pressure);
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x, to.y);
  context.stroke();
}
