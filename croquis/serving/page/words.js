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

export const plainWord = (word) => word.replaceAll("_", " ");

/** `sleeve:long` reads "long sleeve", `closure:none` "no closure"; a colour is its own name. */
export function spoken(attribute) {
  const [group, value] = split(attribute);
  if (group !== "" && value === "none") return `no ${plainWord(group)}`;
  return group === "" || group === "colour" ? plainWord(value) : `${plainWord(value)} ${plainWord(group)}`;
}

/** The CSS colour that a colour attribute names, or null. */
export function colourOf(attribute) {
  const [group, value] = split(attribute);
  if (group !== "" && !COLOUR_GROUPS.includes(group)) return null;
  if (value in COLOURS) return COLOURS[value];
  return CSS.supports("color", value) ? value : null;
}

/** "1 result", "2 results". */
export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** The decimals that a list of scores is shown with: none for distances of codes, which are whole numbers. */
export const decimalsOf = (scores) => (scores.every(Number.isInteger) ? 0 : 3);
