// Photo or sketch: tabs after the ARIA practices, arrows move between them.

import { byId } from "./dom.js";

const KINDS = ["photo", "sketch"];

/** @param {(kind: string) => void} changed  @returns {{chosen: string, choose: (kind: string) => void}} */
export function startTabs(changed) {
  const tabs = {
    chosen: KINDS[0],
    choose(kind) {
      if (kind === tabs.chosen) return;
      tabs.chosen = kind;
      KINDS.forEach((each) => {
        const tab = byId(`tab-${each}`);
        tab.setAttribute("aria-selected", each === kind);
        tab.tabIndex = each === kind ? 0 : -1;
        byId(`panel-${each}`).hidden = each !== kind;
      });
      changed(kind);
    },
  };
  KINDS.forEach((kind, i) => {
    const tab = byId(`tab-${kind}`);
    tab.addEventListener("click", () => tabs.choose(kind));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = KINDS[1 - i];
      tabs.choose(other);
      byId(`tab-${other}`).focus();
    });
  });
  return tabs;
}
