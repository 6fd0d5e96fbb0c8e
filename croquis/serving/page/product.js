// A product's own columns: which of them is its title, its price and its link, and the rest as a list.

import { el } from "./dom.js";

// As croquis/search/shown_columns.py has them: without case, spaces and signs; the first name that a product has counts.
const NAMES = {
  title: [
    "title", "name", "producttitle", "productname", "productdisplayname", "displayname", "prodname", "itemtitle", "itemname",
  ],
  price: [
    "price", "variantprice", "productprice", "sellingprice", "currentprice", "saleprice", "regularprice", "listprice",
    "priceusd", "priceeur", "pricegbp", "priceinr",
  ],
  brand: ["brand", "brandname", "productbrand", "vendor", "manufacturer", "designer"],
  link: ["link", "url", "productlink", "producturl", "itemurl", "pageurl", "permalink"],
};
const COLOURS = ["colour", "color"];

const plain = (name) => name.replace(/[^\p{L}\p{N}]/gu, "").toLowerCase();

const find = (product, names) => {
  const columns = Object.keys(product ?? {});
  const wanted = names.find((name) => columns.some((each) => plain(each) === name));
  return wanted === undefined ? null : product[columns.find((each) => plain(each) === wanted)];
};

/** {title, price, brand, link}, null for what there is not; a link is http or https. */
export function told(product) {
  const found = Object.fromEntries(Object.entries(NAMES).map(([part, names]) => [part, find(product, names)]));
  return { ...found, link: webAddress(found.link) };
}

/** The column that names colours among those that can be filtered by, or undefined. */
export const colourColumn = (columns) =>
  columns.find(({ name, kind, values }) => kind === "text" && values.length > 0 && COLOURS.includes(name.toLowerCase()));

/** "49.50" for a number with a fraction, text as it is. */
export const priceWords = (price) => (typeof price === "number" && !Number.isInteger(price) ? price.toFixed(2) : String(price));

export const openLink = (link, words, label) =>
  el("a", { class: "open", href: link, target: "_blank", rel: "noopener noreferrer", "aria-label": label ?? null }, words);

/** Every column in a list. */
export function columnList(product) {
  const rows = Object.entries(product ?? {});
  if (!rows.length) return null;
  const value = (each) => {
    const link = typeof each === "string" ? webAddress(each) : null;
    if (link) return openLink(link, link);
    return typeof each === "boolean" ? (each ? "yes" : "no") : String(each);
  };
  return el("dl", { class: "own" }, ...rows.flatMap(([name, each]) => [el("dt", {}, name), el("dd", {}, value(each))]));
}

function webAddress(text) {
  if (typeof text !== "string" || !/^https?:\/\//i.test(text)) return null;
  const found = URL.parse ? URL.parse(text) : safely(text);
  return found && ["http:", "https:"].includes(found.protocol) ? found.href : null;
}

function safely(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
