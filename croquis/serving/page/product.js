// A product's own columns: which of them is its title, its price and its link, and the rest as a list.

import { el } from "./dom.js";

// As in croquis/search/shown_columns.py; the first counts.
const NAMES = {
  title: "title name producttitle productname productdisplayname displayname prodname itemtitle itemname bezeichnung artikelbezeichnung produktname titel libelle nom titre nombre titulo nome titolo",
  price: "price variantprice productprice sellingprice currentprice saleprice regularprice listprice priceusd priceeur pricegbp priceinr preis verkaufspreis prix prixttc precio prezzo",
  brand: "brand brandname productbrand vendor manufacturer designer marke hersteller marque marca",
  link: "link url productlink producturl itemurl pageurl permalink",
};

const plain = (name) => name.normalize("NFKD").replace(/[^\p{L}\p{N}]/gu, "").toLowerCase();

/** {title, price, brand, link}, null for what there is not; a link is http or https. */
export function told(product) {
  const named = new Map(Object.entries(product ?? {}).reverse().map(([name, value]) => [plain(name), value]));
  const first = (names) => named.get(names.split(" ").find((name) => named.has(name))) ?? null;
  const [title, price, brand, link] = Object.values(NAMES).map(first);
  return { title, price, brand, link: webAddress(link) };
}

/** The column that names colours among those that can be filtered by, or undefined. */
export const colourColumn = (columns) =>
  columns.find(({ name, kind, values }) => kind === "text" && values.length > 0 && /^colou?r$/i.test(name));

/** "49.50" for a number with a fraction, text as it is. */
export const priceWords = (price) => (Number.isFinite(price) && price % 1 ? price.toFixed(2) : String(price));

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
  try {
    return new URL(text).href;
  } catch {
    return null;
  }
}
