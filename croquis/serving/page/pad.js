// The sketch pad: pen, eraser, width, undo, redo, clear; mouse, touch, stylus (with pressure) and keyboard.

import { announce, byId, button, clamp } from "./dom.js";
import { OUTLINES, rounded } from "./outlines.js";
import { SIDE, clear, paint, render } from "./strokes.js";

const STEP = 12; // of the nib, units of the drawing
const OUTLINE_WIDTH = 7;

export class SketchPad {
  #strokes = [];
  #undone = [];
  #current = null;
  #nib = { x: SIDE / 2, y: SIDE / 3 };

  /** @param {() => void} changed called when a stroke is complete or taken back */
  constructor(changed) {
    this.changed = changed;
    this.canvas = byId("pad");
    this.context = this.canvas.getContext("2d");
    clear(this.context);
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    ["pointerup", "pointercancel"].forEach((name) => this.canvas.addEventListener(name, (event) => this.#up(event)));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#lift());
    ["undo", "redo", "clear"].forEach((name) => byId(name).addEventListener("click", () => this[name]()));
    byId("width").addEventListener("input", (event) => {
      byId("width-shown").value = event.target.value;
    });
    const shelf = document.querySelector(".outlines");
    shelf.append(...Object.entries(OUTLINES).map(([name, lines]) => button(name, () => this.start(lines))));
  }

  get empty() {
    return !this.#strokes.some((stroke) => !stroke.erase);
  }

  /** The drawing as a PNG file. */
  toBlob() {
    return new Promise((done) => this.canvas.toBlob(done, "image/png"));
  }

  undo() {
    if (this.#strokes.length) this.#undone.push(this.#strokes.pop());
    this.#redraw();
  }

  redo() {
    if (this.#undone.length) this.#strokes.push(this.#undone.pop());
    this.#redraw();
  }

  clear() {
    this.#strokes = [];
    this.#undone = [];
    this.#redraw();
    announce("The pad is empty.");
  }

  /** Lays an outline on an empty pad, to be drawn on. */
  start(lines) {
    this.#undone = [];
    this.#strokes = lines.map((line) => ({
      points: rounded(line).map(([x, y]) => ({ x, y, pressure: 0.5 })), width: OUTLINE_WIDTH, erase: false,
    }));
    this.#redraw();
  }

  #redraw() {
    this.#current = null;
    render(this.context, this.#strokes);
    this.#report();
  }

  #report() {
    byId("undo").disabled = byId("clear").disabled = this.#strokes.length === 0;
    byId("redo").disabled = this.#undone.length === 0;
    this.changed();
  }

  #begin(point) {
    const erase = document.querySelector("input[name=tool]:checked").value === "eraser";
    const width = Number(byId("width").value) * (erase ? 3 : 1);
    this.#current = { points: [], width, erase };
    this.#extend(point);
  }

  #extend(point) {
    this.#current.points.push(point);
    paint(this.context, this.#current, this.#current.points.length - 1);
  }

  #end() {
    if (!this.#current) return;
    this.#strokes.push(this.#current);
    this.#current = null;
    this.#undone = [];
    this.#report();
  }

  #point(event) {
    const bounds = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - bounds.left) / bounds.width) * SIDE,
      y: ((event.clientY - bounds.top) / bounds.height) * SIDE,
      pressure: event.pointerType === "pen" ? event.pressure : 0.5,
    };
  }

  #down(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.canvas.setPointerCapture(event.pointerId);
    byId("nib").hidden = true;
    this.pointer = event.pointerId;
    this.#begin(this.#point(event));
  }

  #move(event) {
    if (!this.#current || event.pointerId !== this.pointer) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    (moves.length ? moves : [event]).forEach((each) => this.#extend(this.#point(each)));
  }

  #up(event) {
    if (event.pointerId === this.pointer) this.#end();
    this.pointer = null;
  }

  #key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = moves[event.key];
    const undo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
    if (!step && !undo && event.key !== " ") return;
    event.preventDefault();
    if (undo) event.shiftKey ? this.redo() : this.undo();
    else if (step) this.#nudge(...step);
    else if (this.#current) this.#lift();
    else this.#begin({ ...this.#nib, pressure: 0.5 });
    this.#showNib();
  }

  #nudge(dx, dy) {
    this.#nib = { x: clamp(this.#nib.x + dx, 0, SIDE), y: clamp(this.#nib.y + dy, 0, SIDE) };
    if (this.#current) this.#extend({ ...this.#nib, pressure: 0.5 });
  }

  #lift() {
    this.#end();
    byId("nib").hidden = true;
  }

  #showNib() {
    const nib = byId("nib");
    nib.hidden = false;
    nib.classList.toggle("down", this.#current !== null);
    nib.style.left = `${(this.#nib.x / SIDE) * 100}%`;
    nib.style.top = `${(this.#nib.y / SIDE) * 100}%`;
  }
}
