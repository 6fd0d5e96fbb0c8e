// Puts the parts together: a query (photo, sketch or "more like this"), filters and sides in; results out.

import * as api from "./api.js";
import { Board } from "./board.js";
import { byId, button, debounced, el } from "./dom.js";
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
function likeOf() {
  const given = new URLSearchParams(location.search);
  return given.has("like") ? { item: given.get("like"), imageId: given.get("image") } : null;
}

function like({ item_id, image_id }) {
  history.pushState(null, "", `?${new URLSearchParams({ like: item_id, image: image_id })}`);
  refresh();
  byId("results").focus({ preventScroll: true });
  byId("results").scrollIntoView({ block: "start" });
}

/** A changed photo or drawing is a new search. */
function leaveLike() {
  if (likeOf()) history.pushState(null, "", location.pathname);
  soon();
}

async function currentQuery() {
  if (tabs.chosen === "photo") return photo.query;
  return pad.empty ? null : { image: await pad.toBlob(), name: "sketch.png", crop: null };
}

async function refresh() {
  const liked = likeOf();
  sides.for(liked ? "similar" : tabs.chosen);
  byId("filters").hidden = liked !== null; // the likes of a product are not filtered
  const query = liked ?? (await currentQuery());
  showBar(liked);
  if (!query) return welcome();
  const { k } = sides;
  const chosen = filters.chosen;
  const ask = (side) => (signal) => liked ? api.similar(liked, side, k, signal) : api.search(query, side, k, chosen, signal);
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
  offers: (attribute) => !likeOf() && filters.offers(attribute),
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

/** Above the results: the liked product, or the filters in force. */
function showBar(liked) {
  const chips = liked ? [] : filters.chips();
  byId("bar").replaceChildren(...(liked ? likeHead(liked) : chips));
  if (chips.length > 1) byId("bar").append(button("Clear all filters", () => filters.clear(), { class: "quiet" }));
  byId("bar").hidden = !byId("bar").childElementCount;
}

function likeHead({ item, imageId }) {
  const source = api.imageUrl(item, imageId, sides.chosen[0].model);
  return [
    el("div", { class: "like" }, el("img", { src: source, alt: "" }), `Like ${item}`),
    button("Back to my search", () => {
      history.pushState(null, "", location.pathname);
      refresh();
    }),
  ];
}

function loadFilters() {
  return api.filterValues().then((values) => filters.show(values), (problem) => filters.fail(problem));
}

async function start() {
  startTheme();
  byId("options").open = matchMedia("(min-width: 56rem)").matches;
  addEventListener("popstate", refresh);
  refresh();
  loadFilters();
  const version = await api.version().catch(() => null);
  if (!version) return;
  sides.show(version);
  photo.limit(version.limits.image_bytes);
}

start();
