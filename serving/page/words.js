// How attributes and colours are shown.

const COLOURS = {
  black: "#26262a", white: "#f0efeb", grey: "#8e9094", navy: "#242e52", blue: "#3058aa", "light-blue": "#96bcde",
  red: "#be262c", burgundy: "#6c1e2e", pink: "#e8a0b0", purple: "#704888", green: "#2c744c", olive: "#6e6c3e",
  teal: "#227c80", yellow: "#e8be46", orange: "#d87030", brown: "#704c34", beige: "#d6c2a4",
};
const COLOUR_GROUPS = ["colour", "color", "accent"];

/** `sleeve:long` is ["sleeve", "long"]; a word without a group has "". */
export function split(attribute) {
  const at = attribute.indexOf(":");
  return at < 0 ? ["", attribute] : [attribute.slice(0, at), attribute.slice(at + 1)];
}

const plain = (word) => word.replaceAll(/[-_]/g, " ");

/** `sleeve:long` reads "long sleeve", `closure:none` "no closure"; a colour is its own name. */
export function spoken(attribute) {
  const [group, value] = split(attribute);
  if (group !== "" && value === "none") return `no ${plain(group)}`;
  return group === "" || group === "colour" ? plain(value) : `${plain(value)} ${plain(group)}`;
}

/** The CSS colour that a colour attribute names, or null. */
export function colourOf(attribute) {
  const [group, value] = split(attribute);
  if (group !== "" && !COLOUR_GROUPS.includes(group)) return null;
  if (value in COLOURS) return COLOURS[value];
  return CSS.supports("color", value) ? value : null;
}

export const plainWord = plain;

/** "1 result", "2 results". */
export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
