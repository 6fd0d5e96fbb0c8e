// Which model answers, and how; with a second one to compare.

import { byId, el } from "./dom.js";
import { swatch } from "./filters.js";
import { plainWord } from "./words.js";

export const MODES = { sketch: "through the generator", "sketch-direct": "directly, as lines" };
const SIZE = "croquis-size";
const MOST_COLOURS = 24;
const RERANK = { "": "as the model was built", true: "by attributes", false: "off" };

export class Sides {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.kind = "photo";
    byId("size").value = localStorage.getItem(SIZE) ?? byId("size").value;
    byId("columns").dataset.size = byId("size").value;
    byId("options").addEventListener("change", (event) => this.#onChange(event));
  }

  /** @param version the answer of /version */
  show(version) {
    this.models = version.models;
    this.modes = version.modes;
    byId("side-a").replaceChildren(this.#fields("a", "First"));
    byId("side-b").replaceChildren(this.#fields("b", "Second"));
    byId("compare").disabled = false;
    this.#palette();
    this.for(this.kind);
  }

  /** Shows what applies to a `photo`, a `sketch` or `similar` products. */
  for(kind) {
    this.kind = kind;
    document.querySelectorAll("[data-for]").forEach((field) => {
      field.hidden = !field.dataset.for.split(" ").includes(kind);
    });
    byId("palette").hidden = this.chosen.every((side) => side.colour === null);
  }

  get comparing() {
    return byId("compare").checked;
  }

  /** {k, groupBy}: how many results, and of what. */
  get form() {
    return { k: Number(byId("k").value), groupBy: byId("show").value };
  }

  /** What of the form is not as it is at first, for the address. */
  get unusual() {
    const own = (id) => (byId(id).selectedOptions[0] === first(byId(id)) ? null : byId(id).value);
    return { k: own("k"), show: own("show") };
  }

  /** Sets what the address names, and the rest as it is at first. */
  set unusual(given) {
    for (const id of ["k", "show"]) {
      const known = [...byId(id).options].some((option) => option.value === given[id]);
      byId(id).value = known ? given[id] : first(byId(id)).value;
    }
  }

  /** One or two of {model: label or null, mode, rerank: "true", "false" or null, colour: to paint in, "" for any, or null}. */
  get chosen() {
    return this.comparing ? [this.#read("a"), this.#read("b")] : [this.#read("a")];
  }

  /** "siamese, through the generator": what tells a side from the other. */
  title(side) {
    const words = [this.models.find((model) => model.label === side.model).method];
    if (this.kind === "sketch") words.push(MODES[side.mode]);
    if (side.rerank !== null) words.push(`re-ranked: ${RERANK[side.rerank]}`);
    return words.join(", ");
  }

  #read(side) {
    const value = (name) => byId(`${name}-${side}`)?.value ?? "";
    const mode = this.kind === "sketch" ? value("mode") : "photo";
    const label = value("model") || null;
    const paints = mode === "sketch" && this.models?.find((model) => model.label === label)?.colours;
    const colour = paints ? document.querySelector("input[name=colour]:checked").value : null;
    return { model: label, mode, rerank: value("rerank") || null, colour };
  }

  /** The colours that the models have words for. */
  #palette() {
    const words = Object.entries(Object.assign({}, ...this.models.map((model) => model.colours)));
    const chip = ([word, value]) => el("label", { class: "chip" },
      el("input", { type: "radio", name: "colour", value, checked: value === "", on: { change: this.changed } }),
      value !== "" && swatch(value), plainWord(word));
    byId("palette").replaceChildren(...[["any colour", ""], ...words.slice(0, MOST_COLOURS)].map(chip));
  }

  #onChange(event) {
    if (event.target.id === "size") {
      localStorage.setItem(SIZE, event.target.value);
      byId("columns").dataset.size = event.target.value;
      return;
    }
    if (event.target.id === "compare") {
      byId("side-b").hidden = !this.comparing;
      document.querySelectorAll(".side legend").forEach((legend) => { legend.hidden = !this.comparing; });
      if (this.comparing) this.#differ();
    }
    this.changed();
  }

  /** The second side starts as something else than the first. */
  #differ() {
    const other = (name) => {
      const taken = byId(`${name}-a`).value;
      return [...byId(`${name}-b`).options].map((option) => option.value).find((value) => value !== "" && value !== taken);
    };
    const same = ["model", "mode", "rerank"].every((name) => byId(`${name}-a`).value === byId(`${name}-b`).value);
    if (!same) return;
    const name = this.models.length > 1 ? "model" : this.kind === "sketch" && this.modes.length > 2 ? "mode" : "rerank";
    byId(`${name}-b`).value = other(name);
  }

  #fields(side, title) {
    const modes = this.modes.filter((mode) => mode in MODES).map((mode) => [mode, MODES[mode]]);
    return el("fieldset", { class: "side" }, el("legend", { hidden: !this.comparing }, title),
      select(`model-${side}`, "Model", this.models.map((model) => [model.label, modelWords(model)]), "photo sketch similar"),
      select(`mode-${side}`, "Drawing", modes, "sketch"),
      select(`rerank-${side}`, "Re-ranking", Object.entries(RERANK), "photo sketch"));
  }
}

const first = (select) => [...select.options].find((option) => option.defaultSelected) ?? select.options[0];

const modelWords = ({ label, method, version }) => `${label}: ${method}${version === "local" ? "" : ` ${version}`}`;

function select(id, title, options, kinds) {
  return el("label", { class: "field", for: id, "data-for": kinds }, el("span", {}, title),
    el("select", { id }, ...options.map(([value, words]) => el("option", { value }, words))));
}
