// A column of results: empty, loading, cards or an error.

import { announce, button, el } from "./dom.js";
import { attributeChip, card } from "./cards.js";
import { keepKey } from "./api.js";
import { MODES } from "./sides.js";
import { counted, decimalsOf } from "./words.js";

const GHOSTS = 8;
const FEW = 6; // attributes that are shown without being asked for
const WIDE = matchMedia("(min-width: 56rem)"); // elsewhere results come first
const MOST_TRIES = 3; // that are made by themselves after a 429

const meta = (...words) => el("p", { class: "meta" }, ...words);

export class Column {
  #timer = 0;
  #tries = 0;

  /** @param {(signal: AbortSignal) => Promise<object>} ask  @param actions open, like, filter, offers; keyed once there is a key
   * @param {Column|undefined} before whose cards stay in sight until there is an answer */
  constructor(title, ask, actions, before) {
    Object.assign(this, { title, ask, actions });
    this.node = el("section", { class: "column", "aria-label": title });
    if (before?.node.querySelector(".card")) this.node.replaceChildren(...before.node.childNodes);
    this.stopping = new AbortController();
  }

  /** Asks; resolves to the answer, or null after an error that is now shown. */
  async run() {
    clearInterval(this.#timer);
    this.#load();
    try {
      const answer = await this.ask(this.stopping.signal);
      this.#tries = 0;
      this.#show(answer);
      return answer;
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
      return null;
    } finally {
      if (!this.stopping.signal.aborted) this.node.removeAttribute("aria-busy");
    }
  }

  /** Nothing more is shown or asked. */
  stop() {
    clearInterval(this.#timer);
    this.stopping.abort();
  }

  #load() {
    this.node.setAttribute("aria-busy", "true");
    if (this.node.querySelector(".card")) return;
    const ghosts = Array.from({ length: GHOSTS }, () => el("div", { class: "ghost" }));
    this.node.replaceChildren(this.#head(meta("Searching…")), el("div", { class: "grid", "aria-hidden": "true" }, ...ghosts));
  }

  #head(...more) {
    return el("header", {}, el("h2", {}, this.title), ...more);
  }

  #show(answer) {
    const { results, model, mode, timings } = answer;
    const decimals = decimalsOf(results.map(({ score }) => score));
    const by = el("span", { title: `bundle ${model.bundle}` }, `${counted(results.length, "result")} by ${model.name}${model.version === "local" ? "" : ` version ${model.version}`}`);
    const steps = Object.entries(timings ?? {});
    const time = el("span", { class: "time", title: steps.map(([name, ms]) => `${name.replace("_ms", "")} ${ms.toFixed(1)} ms`).join(", ") },
      ` in ${steps.reduce((sum, [, ms]) => sum + ms, 0).toFixed(0)} ms`);
    this.node.replaceChildren(
      this.#head(meta(by, MODES[mode] && ` ${MODES[mode]}`, timings && time), this.#painted(answer), this.#seen(answer)),
      results.length
        ? el("ol", { class: "grid", "aria-label": "Products, best first" }, ...results.map((result) => card(result, decimals, this.actions)))
        : el("div", { class: "empty" }, el("h2", {}, "Nothing passes the filters"), el("p", {}, "Take one away, or use other words, and the search goes on.")));
  }

  #painted({ generated }) {
    return generated && this.actions.showPainted && el("div", { class: "painted" }, el("img", { src: generated, alt: "What this generator made of your drawing" }), "Painted from your drawing");
  }

  #seen({ query_attributes: seen, mode }) {
    if (!seen.length) return null;
    const chips = seen.map((name) => attributeChip(name, this.actions));
    const title = `${counted(seen.length, "attribute")} ${mode === "similar" ? "of this product" : "seen in your picture"}`;
    return el("details", { class: "seen", open: seen.length <= FEW && WIDE.matches }, el("summary", {}, title),
      el("div", { class: "options" }, ...chips));
  }

  #fail(error) {
    const retry = button("Try again", () => this.run(), { class: "primary" });
    const limit = error.field && error.limit ? `${error.field} ${error.limit}.` : null;
    const said = error.detail?.includes(error.limit) ? null : limit;
    const box = el("div", { class: "error", role: "alert" },
      el("h2", {}, error.status === 429 ? "The server is busy" : error.message),
      error.detail && el("p", {}, error.detail), said && el("p", {}, said));
    if (error.status === 401) box.append(this.#keyForm());
    else box.append(retry);
    this.node.replaceChildren(this.#head(meta("No results")), box);
    if (error.retryAfter) this.#countDown(box, retry, error.retryAfter);
  }

  /** Tries again by itself when the server said how long to wait. */
  #countDown(box, retry, seconds) {
    this.#tries += 1;
    if (this.#tries > MOST_TRIES) return;
    const words = el("p", { "aria-hidden": "true" });
    box.insertBefore(words, retry);
    announce(`The server is busy. Trying again in ${seconds} seconds.`);
    const tick = () => {
      words.textContent = `Trying again in ${seconds} s.`;
      if (seconds-- <= 0) this.run();
    };
    tick();
    this.#timer = setInterval(tick, 1000);
  }

  #keyForm() {
    const field = el("input", { type: "password", required: true, autocomplete: "off", "aria-label": "API key", placeholder: "API key" });
    const send = (event) => {
      event.preventDefault();
      keepKey(field.value);
      this.actions.keyed();
      this.run();
    };
    return el("form", { class: "row", on: { submit: send } }, field, el("button", { class: "primary" }, "Use this key"));
  }
}
