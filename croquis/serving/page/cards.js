// One result as a card.

import { button, el } from "./dom.js";
import { swatch } from "./filters.js";
import { openLink, priceWords, told } from "./product.js";
import { colourOf, plainWord, spoken } from "./words.js";

const MOST_SCALED = 1.5;
const MOST_SHARED = 4; // attributes shown on a card; the dialog has them all

/** An attribute's words, with a dot where it names a colour. */
export const attributeWords = (name) => {
  const colour = colourOf(name);
  return colour ? [swatch(colour), spoken(name)] : [spoken(name)];
};

/** An attribute as a chip, which filters by it where that can be; `run` does so. */
export function attributeChip(name, { offers, filter }, run = filter) {
  const props = { class: "chip", "aria-label": `Show only ${spoken(name)}` };
  const chip = offers(name) ? button("", () => run(name), props) : el("span", { class: "chip" });
  chip.append(...attributeWords(name));
  return chip;
}

/** @param result of the API  @param {number} decimals of its score  @param {{open: (result) => void, like: (result) => void}} actions */
export function card(result, decimals, actions) {
  const name = plainWord(result.category);
  const { title, price, brand, link } = told(result.product);
  const image = el("img", { src: result.image, alt: "", loading: "lazy", width: 160, height: 160, on: { load: unblurred } });
  return el("li", { class: "card", "data-item": result.item_id },
    el("button", {
      type: "button", class: "picture", on: { click: () => actions.open(result) },
      "aria-label": `Rank ${result.rank}: ${name} ${result.item_id}, show the product`,
    }, image, el("span", { class: "rank", "aria-hidden": "true" }, result.rank)),
    el("div", { class: "facts" },
      el("p", { class: "name" }, el("span", {}, title ?? name), el("span", { class: "score", title: "score" }, el("span", { class: "unseen" }, "score "), result.score.toFixed(decimals))),
      price !== null && el("p", { class: "price" }, priceWords(price)),
      el("p", { class: "id", title: result.image_id }, [brand, title === null ? null : name, result.item_id].filter(Boolean).join(" · ")),
      shared(result.shared_attributes)),
    el("div", { class: "row actions" },
      button("More like this", () => actions.like(result), { class: "more", "aria-label": `More like ${name} ${result.item_id}` }),
      link && openLink(link, "Open", `Open the page of ${title ?? result.item_id}`)));
}

/** A small picture is shown little larger than it is. */
export function unblurred({ target }) {
  target.style.maxWidth = `${Math.round(target.naturalWidth * MOST_SCALED)}px`;
}

function shared(attributes) {
  if (!attributes.length) return null;
  const rest = attributes.length - MOST_SHARED;
  return el("ul", { class: "shared", "aria-label": "Shared attributes" },
    ...attributes.slice(0, MOST_SHARED).map((name) => el("li", {}, ...attributeWords(name))),
    rest > 0 && el("li", { title: attributes.slice(MOST_SHARED).map(spoken).join(", ") }, `+${rest}`));
}
