// Filters by category, colour, attribute and the products' own columns.

import { byId, button, el } from "./dom.js";
import { colourColumn } from "./product.js";
import { colourOf, plainWord, split, spoken } from "./words.js";

const MOST_COLOURS = 8; // that are offered beside a query

export const swatch = (colour) => {
  const dot = el("span", { class: "swatch", "aria-hidden": "true" });
  dot.style.background = colour;
  return dot;
};

const valueOf = (attribute) => plainWord(split(attribute)[1]);
const wordsOf = (column) => (column.kind === "boolean" ? (value) => (value === "true" ? "yes" : "no") : (value) => value);

export class FilterPanel {
  #pending = {};
  #shown = false;

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    byId("filter-body").addEventListener("change", () => this.#report());
  }

  /** @param values the answer of /catalogue/filters */
  show(values) {
    const chosen = this.chosen;
    const groups = Map.groupBy(values.attributes, ({ name }) => split(name)[0]);
    if (values.colour.length) groups.delete("colour");
    const columns = values.product ?? [];
    byId("filter-body").replaceChildren(
      this.#group("Category", "category", values.category, plainWord),
      values.colour.length ? this.#group("Colour", "colour", values.colour, plainWord) : "",
      ...columns.filter(({ values: few }) => few.length).map((column) => this.#column(column)),
      ...columns.filter(({ kind, min, max }) => kind === "number" && min < max).map((column) => this.#range(column)),
      ...[...groups].map(([name, list]) => this.#folded(plainWord(name) || "attributes", list.map((each) => this.#option("attributes", each, valueOf)))),
    );
    const byCount = (list) => list.toSorted((a, b) => b.count - a.count).slice(0, MOST_COLOURS).map(({ name }) => name);
    const own = colourColumn(columns);
    this.colours = values.colour.length
      ? byCount(values.colour).map((name) => ({ name, field: "colour" }))
      : byCount(own?.values ?? []).map((name) => ({ name, field: "product", column: own.name }));
    this.#shown = true;
    this.chosen = chosen;
  }

  fail(problem) {
    byId("filter-body").replaceChildren(el("p", { class: "hint" }, `The filters cannot be read: ${problem.message}.`));
  }

  /** {category, attributes, colour, product} as the API takes them; what is not filtered by is left out. */
  get chosen() {
    if (!this.#shown) return this.#pending;
    const chosen = {};
    this.#checked().forEach(({ name, value, dataset }) => {
      if (name !== "product") (chosen[name] ??= []).push(value);
      else ((chosen.product ??= {})[dataset.column] ??= []).push(dataset.kind === "boolean" ? value === "true" : value);
    });
    this.#bounds().forEach(({ name, valueAsNumber, dataset }) => {
      ((chosen.product ??= {})[dataset.column] ??= {})[name] = valueAsNumber;
    });
    return chosen;
  }

  /** Sets what the address names, without an event. */
  set chosen(wanted) {
    this.#pending = wanted;
    if (!this.#shown) return;
    this.#boxes().forEach((box) => {
      const among = box.name === "product" ? wanted.product?.[box.dataset.column] : wanted[box.name];
      box.checked = Array.isArray(among) && among.map(String).includes(box.value);
    });
    this.#numbers().forEach((field) => { field.value = wanted.product?.[field.dataset.column]?.[field.name] ?? ""; });
    this.#count();
  }

  /** One removable chip per chosen value. */
  chips() {
    const chip = (name, remove) => button(`${name} ✕`, remove, { class: "chip", "aria-label": `Remove the filter ${name}` });
    const bound = ({ name, value, dataset }) => `${dataset.column} ${name === "min" ? "from" : "to"} ${value}`;
    return [
      ...this.#checked().map((box) => chip(box.dataset.spoken, () => this.#set(box, false))),
      ...this.#bounds().map((field) => chip(bound(field), () => {
        field.value = "";
        this.#report();
      })),
    ];
  }

  /** A button for each of the most frequent colours: "like this, but in red". */
  colourChips() {
    return (this.colours ?? []).map((colour) => {
      const box = this.#boxes().find((each) =>
        each.name === colour.field && each.value === colour.name && (colour.column === undefined || each.dataset.column === colour.column));
      const dot = colourOf(colour.name);
      const chip = button("", () => this.#only(colour, box), { class: "chip", "aria-pressed": String(box.checked) });
      chip.append(...(dot ? [swatch(dot)] : []), plainWord(colour.name));
      return chip;
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
    this.chosen = {};
    this.changed();
  }

  #boxes() {
    return [...byId("filter-body").querySelectorAll("input[type=checkbox]")];
  }

  #checked() {
    return this.#boxes().filter((box) => box.checked);
  }

  #numbers() {
    return [...byId("filter-body").querySelectorAll("input[type=number]")];
  }

  #bounds() {
    return this.#numbers().filter((field) => Number.isFinite(field.valueAsNumber));
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

  /** Only one of the colours, or none of them when it was chosen already. */
  #only(colour, box) {
    const was = box.checked;
    this.#boxes().filter((each) => each.name === colour.field && each.dataset.column === box.dataset.column)
      .forEach((each) => { each.checked = false; });
    this.#set(box, !was);
  }

  #report() {
    this.#count();
    this.changed();
  }

  #count() {
    const count = this.#checked().length + this.#bounds().length;
    byId("filter-count").hidden = count === 0;
    byId("filter-count").textContent = count;
  }

  #option(field, { name, count }, words, column = null) {
    const colour = ["colour", "attributes"].includes(field) ? colourOf(name) : null;
    const said = field === "attributes" ? spoken(name) : column ? `${plainWord(column.name)} ${words(name)}` : plainWord(name);
    return el("label", { class: "chip" },
      el("input", {
        type: "checkbox", name: field, value: name, "data-spoken": said, "data-column": column?.name, "data-kind": column?.kind,
      }),
      colour && swatch(colour), words(name), el("small", {}, count));
  }

  #group(title, field, list, words) {
    return el("fieldset", { class: "group" }, el("legend", {}, title),
      el("div", { class: "options" }, ...list.map((each) => this.#option(field, each, words))));
  }

  #column(column) {
    return this.#folded(plainWord(column.name), column.values.map((each) => this.#option("product", each, wordsOf(column), column)));
  }

  #range({ name, min, max }) {
    const title = plainWord(name);
    const bound = (which, value, words) => el("input", {
      type: "number", name: which, step: "any", placeholder: String(value), "data-column": name, "aria-label": `${title} ${words}`,
    });
    return el("fieldset", { class: "group range" }, el("legend", {}, title),
      el("div", { class: "row" }, bound("min", min, "from"), el("span", { "aria-hidden": "true" }, "to"), bound("max", max, "to")));
  }

  #folded(title, options) {
    return el("details", { class: "group" }, el("summary", {}, title), el("div", { class: "options", role: "group", "aria-label": title }, ...options));
  }
}
