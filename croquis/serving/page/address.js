// What the page is asked, kept in its address, so that Back works and a link can be sent. Photos are not in it.

/** {like: {item, imageId} or null, text, filters, k, show}: what the address names, null or {} where it does not. */
export function readAddress() {
  const given = new URLSearchParams(location.search);
  return {
    like: given.has("like") ? { item: given.get("like"), imageId: given.get("image") } : null,
    text: given.get("text") ?? "",
    filters: parsed(given.get("filters")),
    k: given.get("k"),
    show: given.get("show"),
  };
}

/** @param {boolean} step whether Back shall lead to what was before */
export function writeAddress({ like, text, filters, k, show }, step) {
  const given = new URLSearchParams();
  if (like) given.set("like", like.item);
  if (like?.imageId) given.set("image", like.imageId);
  if (text) given.set("text", text);
  if (Object.keys(filters).length) given.set("filters", JSON.stringify(filters));
  if (k) given.set("k", k);
  if (show) given.set("show", show);
  const query = given.toString();
  const address = query ? `?${query}` : location.pathname;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

function parsed(text) {
  try {
    const found = JSON.parse(text ?? "{}");
    return found !== null && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}
