// The dialog of one product.

import * as api from "./api.js";
import { byId, button, el } from "./dom.js";
import { attributeChip, unblurred } from "./cards.js";
import { columnList, told } from "./product.js";
import { plainWord } from "./words.js";

/** @param result of a search  @param {string|null} model label  @param actions like, filter, offers */
export async function openItem(result, model, actions) {
  const dialog = byId("item");
  const close = button("Close", () => dialog.close());
  const body = el("div", {}, el("p", { class: "hint" }, "Loading…"));
  dialog.replaceChildren(
    el("header", {}, el("h2", { id: "item-title" }, told(result.product).title ?? `${plainWord(result.category)} ${result.item_id}`), close), body);
  dialog.showModal();
  try {
    body.replaceChildren(...details(await api.item(result.item_id, model), dialog, actions, result));
  } catch (problem) {
    body.replaceChildren(el("p", { class: "wrong", role: "alert" }, `${problem.message}. ${problem.detail ?? ""}`));
  }
}

function details(item, dialog, actions, result) {
  const then = (run) => () => {
    dialog.close();
    run();
  };
  const chips = item.attributes.map((name) => attributeChip(name, actions, then(() => actions.filter(name))));
  return [
    el("div", { class: "views" }, ...item.images.map(({ url, image_id }, i) =>
      el("img", { src: url, alt: `Picture ${i + 1} of ${item.images.length}`, title: image_id, on: { load: unblurred } }))),
    columnList(item.product) ?? "",
    el("p", { class: "hint" }, "Choose an attribute to show only products that have it."),
    el("div", { class: "options" }, ...chips),
    button("More like this", then(() => actions.like(result)), { class: "primary" }),
  ];
}
