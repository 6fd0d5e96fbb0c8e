"use strict";
// Pictures are kept once and filled in when they are shown; charts are drawn by Vega in the colours of the page.
const PICTURES = JSON.parse(document.getElementById("pictures").textContent);
const NARROW = 640; // pixels; below, legends stand under their charts

function fill(place) {
  for (const image of place.querySelectorAll("img[data-p]:not([src])")) {
    if (!image.closest("[hidden]")) image.src = PICTURES[Number(image.dataset.p)];
  }
}

// A switch shows the panel of the chosen values, in any order of them, or its note where there is none.
function choose(place) {
  const controls = place.querySelector(":scope > .controls, :scope > .tabs");
  const values = controls.matches(".tabs")
    ? [controls.querySelector("[aria-selected=true]").dataset.value]
    : [...controls.querySelectorAll("select")].map((list) => list.value);
  const keys = [values.join("|"), [...values].reverse().join("|")];
  let found = false;
  for (const panel of place.querySelectorAll(":scope > .panels > .panel")) {
    const shown = keys.includes(panel.dataset.key);
    panel.hidden = !shown;
    found = found || shown;
  }
  place.querySelector(":scope > .panels > .empty").hidden = found;
  fill(place);
}

for (const place of document.querySelectorAll(".switch")) {
  const controls = place.querySelector(":scope > .controls, :scope > .tabs");
  controls.addEventListener("change", () => choose(place));
  for (const tab of controls.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => {
      for (const other of controls.querySelectorAll("[role=tab]")) other.setAttribute("aria-selected", other === tab);
      choose(place);
    });
  }
}
fill(document);

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);

// A tooltip of Vega: its values in lines, and the picture whose number it names.
function point(_view, event, _item, value) {
  tip.hidden = value === null || value === undefined || value === "";
  if (tip.hidden) return;
  tip.replaceChildren();
  for (const [name, text] of Object.entries(value)) {
    if (name === "picture") {
      const image = document.createElement("img");
      image.src = PICTURES[Number(text)];
      image.alt = "";
      tip.append(image);
    } else {
      const line = document.createElement("div");
      line.textContent = `${name}: ${text}`;
      tip.append(line);
    }
  }
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
}

function colours(narrow) {
  const style = getComputedStyle(document.documentElement);
  const [ink, quiet, line] = ["--ink", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: line },
    axis: { labelColor: ink, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, labelLimit: 130 },
    axisQuantitative: { tickCount: 8 },
    legend: { labelColor: ink, titleColor: quiet, orient: narrow ? "bottom" : "right", columns: narrow ? 2 : 1,
      titleLimit: 320 },
    mark: { color: quiet },
    text: { fill: ink },
    rule: { color: quiet },
    tick: { color: quiet },
  };
}

const views = new Map();
async function draw() {
  const config = colours(innerWidth < NARROW);
  for (const data of document.querySelectorAll("script[data-chart]")) {
    const name = data.dataset.chart;
    views.get(name)?.finalize();
    const spec = JSON.parse(data.textContent);
    const made = await vegaEmbed(`#chart-${name}`, spec, { actions: false, renderer: "svg", config, tooltip: point });
    views.set(name, made);
  }
  document.body.dataset.drawn = String(views.size);
}

let last = innerWidth < NARROW;
addEventListener("resize", () => {
  if (last !== innerWidth < NARROW) {
    last = innerWidth < NARROW;
    draw();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
