// Elements without a framework.

export const byId = (id) => document.getElementById(id);

/** An element; `on` holds listeners, `class` is a class list, other props are attributes (true: bare, false or null: left out). */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") Object.entries(value).forEach(([event, run]) => node.addEventListener(event, run));
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

export const button = (text, run, props = {}) => el("button", { type: "button", on: { click: run }, ...props }, text);

/** Tells screen readers, without moving the focus. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** `run`, `wait` ms after the last call. */
export function debounced(run, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...values), wait);
  };
}

export const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
