// The right side: one column or two, what they have in common, and the empty state.

import { announce, byId, button, el } from "./dom.js";
import { Column } from "./column.js";
import { counted } from "./words.js";

export class Board {
  #columns = [];
  #run = 0;

  /** Asks every side and shows what they answer.
   * @param {{title: string, ask: (signal: AbortSignal) => Promise<object>}[]} sides
   * @param actions of the cards, and `answered(answer)` for the first side */
  async search(sides, actions) {
    this.stop();
    const run = this.#run;
    const comparing = sides.length > 1;
    const before = this.#columns.length === sides.length ? this.#columns : [];
    this.#columns = sides.map(({ title, ask }, i) => new Column(title, ask, { ...actions, showPainted: comparing }, before[i]));
    byId("columns").classList.toggle("two", comparing);
    byId("columns").replaceChildren(...this.#columns.map((column) => column.node));
    const answers = await Promise.all(this.#columns.map((column) => column.run()));
    if (run !== this.#run) return;
    if (answers[0]) actions.answered(answers[0]);
    if (comparing && answers.every(Boolean)) this.#compare(answers);
    else if (answers[0]) announce(`${counted(answers[0].results.length, "result")}.`);
  }

  stop() {
    this.#run += 1;
    this.#columns.forEach((column) => column.stop());
  }

  /** Says what is in both columns, on the cards and above them. */
  #compare(answers) {
    const ranks = answers.map(({ results }) => {
      const best = new Map();
      results.forEach(({ image_id, rank }) => best.set(image_id, rank));
      return best;
    });
    const common = [...ranks[0].keys()].filter((id) => ranks[1].has(id));
    this.#columns.forEach((column, side) => {
      const cards = column.node.querySelectorAll(".card");
      answers[side].results.forEach(({ image_id }, i) => {
        const rank = ranks[1 - side].get(image_id);
        cards[i].querySelector(".facts").append(el("p", { class: rank ? "other both" : "other" }, rank ? `other side: ${rank}` : "only here"));
      });
    });
    const words = `${common.length} of ${Math.max(...ranks.map((side) => side.size))} results on both sides`;
    byId("bar").querySelector(".common")?.remove();
    byId("bar").append(el("p", { class: "common meta" }, words));
    byId("bar").hidden = false;
    announce(words);
    this.#linkTwins();
  }

  /** Pointing at a product marks it on both sides. */
  #linkTwins() {
    const cards = [...byId("columns").querySelectorAll(".card")];
    const mark = (item) => cards.forEach((card) => card.classList.toggle("twin", card.dataset.item === item));
    cards.forEach((card) => {
      ["mouseenter", "focusin"].forEach((name) => card.addEventListener(name, () => mark(card.dataset.item)));
      ["mouseleave", "focusout"].forEach((name) => card.addEventListener(name, () => mark(null)));
    });
  }

  /** Before the first query. */
  welcome(kind, outline) {
    this.stop();
    this.#columns = [];
    byId("columns").classList.remove("two");
    const words = kind === "sketch"
      ? ["Draw a garment", "A few lines are enough: the outline, a collar, a hem. The search runs while you draw."]
      : ["What are you looking for?", "Show a photo of a garment, then draw the box around it."];
    byId("columns").replaceChildren(el("div", { class: "empty" }, hanger(), el("h2", {}, words[0]),
      el("p", {}, words[1], kind === "sketch" ? "" : el("span", { class: "by-drawing" }, " No photo at hand? Draw it.")),
      button(kind === "sketch" ? "Start from a dress" : "Draw instead", outline, { class: "by-drawing" })));
  }
}

function hanger() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const attributes = { viewBox: "0 0 96 72", width: 96, height: 72, "aria-hidden": "true" };
  Object.entries(attributes).forEach(([name, value]) => svg.setAttribute(name, value));
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", "M40 16a8 8 0 1 1 11 8c-2 1-3 3-3 6L8 58a4 4 0 0 0 2 7h76a4 4 0 0 0 2-7L48 30");
  svg.append(path);
  return svg;
}
