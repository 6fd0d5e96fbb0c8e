// Outlines to start a drawing from: polylines in a square of 512, left half first; `mirrored` adds the right half.

const LONGEST_CUT = 14; // of a corner
const ROUNDS = 3;

const mirrored = (line) => [...line, ...line.toReversed().map(([x, y]) => [512 - x, y])];

const neck = [[200, 92], [212, 122], [236, 140], [256, 144], [276, 140], [300, 122], [312, 92]];

export const OUTLINES = {
  "T-shirt": [
    mirrored([[200, 92], [150, 110], [62, 196], [112, 248], [158, 208], [154, 430], [256, 434]]),
    neck,
    [[154, 410], [256, 414], [358, 410]],
  ],
  Dress: [
    mirrored([[206, 56], [176, 66], [168, 132], [184, 178], [190, 222], [138, 452], [256, 462]]),
    [[206, 56], [214, 104], [256, 122], [298, 104], [306, 56]],
    [[190, 222], [256, 230], [322, 222]],
    [[224, 240], [206, 448]],
    [[288, 240], [306, 448]],
  ],
  Trousers: [
    mirrored([[184, 56], [172, 140], [160, 462], [234, 462], [252, 206], [256, 190]]),
    [[184, 56], [256, 60], [328, 56]],
    [[182, 84], [256, 88], [330, 84]],
    [[256, 88], [256, 190]],
    [[190, 100], [204, 134], [176, 146]],
    [[322, 100], [308, 134], [336, 146]],
  ],
  Skirt: [
    mirrored([[178, 120], [172, 146], [104, 384], [256, 398]]),
    [[178, 120], [256, 126], [334, 120]],
    [[172, 146], [256, 152], [340, 146]],
    [[216, 156], [180, 386]],
    [[256, 156], [256, 394]],
    [[296, 156], [332, 386]],
  ],
};

/** A line with its corners cut again and again, as a hand would draw it. */
export function rounded(line, rounds = ROUNDS) {
  if (rounds === 0) return line;
  const inner = line.slice(1, -1).flatMap((at, i) => [towards(at, line[i]), towards(at, line[i + 2])]);
  return rounded([line[0], ...inner, line.at(-1)], rounds - 1);
}

function towards([x, y], [tx, ty]) {
  const length = Math.hypot(tx - x, ty - y);
  const share = Math.min(0.25, LONGEST_CUT / length);
  return [x + (tx - x) * share, y + (ty - y) * share];
}
