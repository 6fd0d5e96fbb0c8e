// Puts the parts together: a query (photo, sketch, words or "more like this"), filters and sides in; results out.

import * as api from "./api.js";
import { readAddress, writeAddress } from "./address.js";
import { Board } from "./board.js";
import { announce, byId, button, debounced, el } from "./dom.js";
import { FilterPanel } from "./filters.js";
import { openItem } from "./item.js";
import { OUTLINES } from "./outlines.js";
import { SketchPad } from "./pad.js";
import { Photo } from "./photo.js";
import { Sides } from "./sides.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";

const PAUSE = 300; // ms between the last change and the search

const soon = debounced(() => refresh(), PAUSE);
const board = new Board();
const filters = new FilterPanel(soon);
const sides = new Sides(soon);
const photo = new Photo(leaveLike, () => tabs.choose("photo"));
const pad = new SketchPad(leaveLike);
const tabs = startTabs((kind) => {
  sides.for(kind);
  leaveLike();
});

/** The product whose likes are shown, or null: kept in the address, so that Back works and a link can be sent. */
const likeOf = () => readAddress().like;

const words = () => byId("text").value.trim();

/** Writes what is asked into the address; a `step` is undone by Back. */
function remember(liked, step = false) {
  writeAddress({ like: liked, text: words(), filters: filters.chosen, ...sides.unusual }, step);
}

/** Sets filters and settings as the address has them. */
function recall() {
  const given = readAddress();
  sides.unusual = given;
  filters.chosen = given.filters;
  byId("text").value = given.text;
}

function like({ item_id, image_id }) {
  remember({ item: item_id, imageId: image_id }, true);
  refresh();
  byId("results").focus({ preventScroll: true });
  byId("results").scrollIntoView({ block: "start" });
}

/** A changed photo or drawing is a new search. */
function leaveLike() {
  if (likeOf()) remember(null, true);
  soon();
}

async function currentQuery() {
  const text = words();
  const pictured = tabs.chosen === "photo" ? await photo.query() : await drawn();
  if (pictured) return { ...pictured, text };
  return text ? { images: [], crop: null, text } : null;
}

async function drawn() {
  return pad.empty ? null : { images: [{ file: await pad.toBlob(), name: "sketch.png" }], crop: null };
}

async function refresh() {
  const liked = likeOf();
  sides.for(liked ? "similar" : tabs.chosen);
  remember(liked);
  const query = liked ?? (await currentQuery());
  showBar(liked, query);
  if (!query) return welcome();
  const { form } = sides;
  const chosen = filters.chosen;
  const ask = (side) => (signal) => (liked ? api.similar : api.search)(query, side, form, chosen, signal);
  const title = (side) => sides.comparing ? sides.title(side) : liked ? "More like this" : "Results";
  return board.search(sides.chosen.map((side) => ({ title: title(side), ask: ask(side) })), {
    like,
    open: (result) => openItem(result, new URL(result.image, location).searchParams.get("model"), { like, ...filtering }),
    answered: showPainted,
    keyed: loadFilters,
    ...filtering,
  });
}

const filtering = {
  offers: (attribute) => filters.offers(attribute),
  filter: (attribute) => filters.add(attribute),
};

function welcome() {
  showPainted({ generated: null });
  board.welcome(tabs.chosen, () => {
    if (tabs.chosen === "photo") tabs.choose("sketch");
    else pad.start(OUTLINES.Dress);
  });
}

function showPainted({ generated }) {
  byId("painted").hidden = !generated;
  if (generated) byId("painted-image").src = generated;
}

/** Above the results: the liked product, the filters in force, and the colours that it may be in instead. */
function showBar(liked, query) {
  const chips = filters.chips();
  const colours = query ? filters.colourChips() : [];
  byId("bar").replaceChildren(...(liked ? likeHead(liked) : []), ...chips);
  if (chips.length > 1) byId("bar").append(button("Clear all filters", () => filters.clear(), { class: "quiet" }));
  if (colours.length > 1) {
    byId("bar").append(el("div", { class: "but", role: "group", "aria-label": "The same in another colour" }, el("span", {}, "But in"), ...colours));
  }
  byId("bar").hidden = !byId("bar").childElementCount;
}

function likeHead({ item, imageId }) {
  const source = api.imageUrl(item, imageId, sides.chosen[0].model);
  const copy = () => navigator.clipboard.writeText(location.href).then(() => announce("The link is copied."));
  return [
    el("div", { class: "like" }, el("img", { src: source, alt: "" }), `Like ${item}`),
    navigator.clipboard && button("Copy link", copy),
    button("Back to my search", () => {
      remember(null, true);
      refresh();
    }),
  ].filter(Boolean);
}

function loadFilters() {
  const shown = (values) => {
    filters.show(values);
    if (byId("columns").querySelector(".column")) showBar(likeOf(), true);
  };
  return api.filterValues().then(shown, (problem) => filters.fail(problem));
}

async function start() {
  startTheme();
  byId("options").open = matchMedia("(min-width: 56rem)").matches;
  byId("text").addEventListener("input", leaveLike);
  addEventListener("popstate", () => {
    recall();
    refresh();
  });
  recall();
  refresh();
  loadFilters();
  const version = await api.version().catch(() => null);
  if (!version) return;
  if (version.modes.every((mode) => mode === "photo")) document.body.dataset.drawings = "none";
  sides.show(version);
  photo.limit(version.limits.image_bytes);
}

start();
