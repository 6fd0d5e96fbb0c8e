// The server's API; every failure is a Problem.

const KEY = "croquis-api-key";

export class Problem extends Error {
  /** @param {{status: number, title: string, detail?: string, field?: string, limit?: string, retryAfter?: number}} words */
  constructor(words) {
    super(words.title);
    Object.assign(this, { detail: "", field: null, limit: null, retryAfter: null }, words);
  }
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} });
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, title: "The server cannot be reached", detail: "Check the connection, then try again." });
  }
  throw await problemOf(response);
}

async function problemOf(response) {
  const body = await response.json().catch(() => null);
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new Problem({
    title: response.statusText || `Error ${response.status}`,
    ...(body !== null && typeof body === "object" ? body : { detail: "The server gave no reason." }),
    status: response.status,
    retryAfter: response.status === 429 || response.status === 503 ? Math.max(1, wait || 2) : null,
  });
}

const withQuery = (path, values) => {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};

/** @param {{images: {file: Blob, name: string}[], crop: number[]|null, text: string}} query  @param {object} side model, mode, rerank (null: the bundle's), colour */
export function search(query, side, { k, groupBy }, filters, signal) {
  const form = new FormData();
  const mode = query.images.length ? side.mode : "photo";
  if (query.text) form.append("text", query.text);
  query.images.forEach(({ file, name }) => form.append("image", file, name));
  form.append("k", k);
  form.append("group_by", groupBy);
  form.append("mode", mode);
  form.append("timings", "true");
  form.append("describe", "true");
  if (mode === "sketch") form.append("generated", "true");
  if (mode === "sketch" && side.colour) form.append("colour", side.colour);
  if (Object.keys(filters).length) form.append("filters", JSON.stringify(filters));
  if (side.rerank !== null && query.images.length) form.append("rerank", side.rerank);
  if (query.crop) form.append("crop", query.crop.join(","));
  return call(withQuery("/search", { model: side.model }), { method: "POST", body: form, signal });
}

export function similar(query, side, { k, groupBy }, filters, signal) {
  const asked = { k, group_by: groupBy, image_id: query.imageId, model: side.model };
  const among = Object.keys(filters).length ? { filters: JSON.stringify(filters) } : {};
  return call(withQuery(`/similar/${encodeURIComponent(query.item)}`, { ...asked, ...among }), { signal });
}

export const imageUrl = (id, imageId, model) =>
  withQuery(`/items/${encodeURIComponent(id)}/image`, { image_id: imageId, model });

export const item = (id, model) => call(withQuery(`/items/${encodeURIComponent(id)}`, { model }));
export const filterValues = () => call("/catalogue/filters");
export const version = () => call("/version");
