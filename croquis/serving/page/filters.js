// Filters by category, colour and attribute.

import { byId, button, el } from "./dom.js";
import { colourOf, plainWord, split, spoken } from "./words.js";

export const swatch = (colour) => {
  const dot = el("span", { class: "swatch", "aria-hidden": "true" });
  dot.style.background = colour;
  return dot;
};

export class FilterPanel {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    byId("filter-body").addEventListener("change", () => this.#report());
  }

  /** @param values the answer of /catalogue/filters */
  show(values) {
    const groups = Map.groupBy(values.attributes, ({ name }) => split(name)[0]);
    if (values.colour.length) groups.delete("colour");
    byId("filter-body").replaceChildren(
      this.#group("Category", "category", values.category, plainWord),
      values.colour.length ? this.#group("Colour", "colour", values.colour, plainWord) : "",
      ...[...groups].map(([name, list]) => this.#folded(plainWord(name) || "attributes", list)),
    );
  }

  fail(problem) {
    byId("filter-body").replaceChildren(el("p", { class: "hint" }, `The filters cannot be read: ${problem.message}.`));
  }

  /** {category, attributes, colour}: lists of names. */
  get chosen() {
    const chosen = { category: [], attributes: [], colour: [] };
    this.#boxes().filter((box) => box.checked).forEach((box) => chosen[box.name].push(box.value));
    return chosen;
  }

  /** One removable chip per chosen value. */
  chips() {
    return this.#boxes().filter((box) => box.checked).map((box) => {
      const name = box.dataset.spoken;
      const remove = () => this.#set(box, false);
      return button(`${name} ✕`, remove, { class: "chip", "aria-label": `Remove the filter ${name}` });
    });
  }

  /** Whether an attribute can be a filter and is not one yet. */
  offers(attribute) {
    return this.#find(attribute)?.checked === false;
  }

  add(attribute) {
    this.#set(this.#find(attribute), true);
  }

  clear() {
    this.#boxes().forEach((box) => { box.checked = false; });
    this.#report();
  }

  #boxes() {
    return [...byId("filter-body").querySelectorAll("input")];
  }

  #find(attribute) {
    const [group, value] = split(attribute);
    return this.#boxes().find((box) =>
      (box.name === "attributes" && box.value === attribute) || (box.name === "colour" && group === "colour" && box.value === value));
  }

  #set(box, checked) {
    box.checked = checked;
    this.#report();
  }

  #report() {
    const count = this.#boxes().filter((box) => box.checked).length;
    byId("filter-count").hidden = count === 0;
    byId("filter-count").textContent = count;
    this.changed();
  }

  #option(field, { name, count }, words) {
    const colour = field === "colour" || field === "attributes" ? colourOf(name) : null;
    return el("label", { class: "chip" },
      el("input", { type: "checkbox", name: field, value: name, "data-spoken": field === "attributes" ? spoken(name) : plainWord(name) }),
      colour && swatch(colour), words(name), el("small", {}, count));
  }

  #group(title, field, list, words) {
    return el("fieldset", { class: "group" }, el("legend", {}, title),
      el("div", { class: "options" }, ...list.map((each) => this.#option(field, each, words))));
  }

  #folded(title, list) {
    const words = (name) => plainWord(split(name)[1]);
    return el("details", { class: "group" }, el("summary", {}, title),
      el("div", { class: "options", role: "group", "aria-label": title }, ...list.map((each) => this.#option("attributes", each, words))));
  }
}
