// Light or dark: the system's until the person chooses.

import { byId } from "./dom.js";

const KEY = "croquis-theme";
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (root.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
const label = () => { byId("theme").textContent = isDark() ? "Light mode" : "Dark mode"; };

export function startTheme() {
  const kept = localStorage.getItem(KEY);
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset.theme);
    label();
  });
  systemDark.addEventListener("change", label);
  label();
}
