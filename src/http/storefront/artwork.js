// Artwork: a package drawn from what is known of the product, so that the shop needs no pictures.

/** FNV-1a: the same product always looks the same. */
function hash(text) {
  let sum = 2166136261;
  for (const letter of `${text}`) sum = Math.imul(sum ^ letter.codePointAt(0), 16777619);
  return sum >>> 0;
}

// Parts are [what they are, path]; then where the label's middle is. The picture is 160 × 120.
const PACKAGES = {
  box: [["body", "M52 20h46v84H52z"], ["side", "M98 20l14 8v70l-14 6z"], ["label", "M58 44h34v34H58z"], 75, 61],
  can: [["body", "M54 26v70c0 10 52 10 52 0V26z"], ["side", "M54 26a26 7 0 0 1 52 0a26 7 0 0 1-52 0z"], ["label", "M54 44c0 9 52 9 52 0v34c0 9-52 9-52 0z"], 80, 68],
  jar: [["body", "M60 34h40c8 0 12 5 12 12v46c0 8-5 12-12 12H60c-8 0-12-4-12-12V46c0-7 4-12 12-12z"], ["side", "M57 18h46v12H57z"], ["label", "M48 54h64v30H48z"], 80, 69],
  bottle: [["body", "M73 18h14v16c0 9 15 11 15 26v36c0 5-3 8-8 8H66c-5 0-8-3-8-8V60c0-15 15-17 15-26z"], ["side", "M71 9h18v11H71z"], ["label", "M58 62h44v27H58z"], 80, 76],
  pouch: [["body", "M52 24h56l-3 12 7 62c0 4-2 6-6 6H54c-4 0-6-2-6-6l7-62z"], ["side", "M50 15h60v10H50z"], ["label", "M80 47a20 20 0 0 1 0 40a20 20 0 0 1 0-40z"], 80, 67],
  carton: [["body", "M56 44h48v60H56z"], ["side", "M64 16h32v8l8 20H56l8-20z"], ["label", "M62 56h36v30H62z"], 80, 71],
  tube: [["body", "M60 14h40l-5 72H65z"], ["side", "M63 88h34v16H63z"], ["label", "M65 32h30l-2 30H67z"], 80, 48],
  tray: [["side", "M26 62h108l-8 34c-1 5-4 8-9 8H43c-5 0-8-3-9-8z"], ["body", "M34 62c0-20 20-30 46-30s46 10 46 30z"], ["label", "M60 70h40v25H60z"], 80, 83],
  loaf: [["body", "M36 62c-8-20 14-30 44-30s52 10 44 30v34c0 5-3 8-8 8H44c-5 0-8-3-8-8z"], ["side", "M52 37l8-2 6 15-8 2zM76 33h8l2 16h-8zM100 35l8 2-5 15-8-2z"], ["label", "M60 64h40v27H60z"], 80, 78],
  fruit: [["body", "M80 42c10-10 42-6 38 26c-3 24-20 38-38 34c-18 4-35-10-38-34c-4-32 28-36 38-26z"], ["side", "M80 42c-2-16 8-26 24-26c0 14-8 24-24 26z"], ["label", "M80 56a17 17 0 0 1 0 34a17 17 0 0 1 0-34z"], 80, 73],
  flower: [["side", "M80 40a13 13 0 1 1 13-13a13 13 0 1 1 0 26a13 13 0 1 1-26 0a13 13 0 1 1 0-26a13 13 0 0 1 13 13z"], ["body", "M56 66h48l-6 34c-1 3-2 4-5 4H67c-3 0-4-1-5-4z"], ["label", "M64 72h32l-4 24H68z"], 80, 84],
};
// The first pattern that fits what is said of the product.
const PACKAGES_OF = [
  [/^(PRODUCE|SALAD)/, ["fruit"]],
  [/^(MEAT|SEAFOOD|DELI|CHEF)/, ["tray"]],
  [/^PASTRY/, ["loaf"]],
  [/^(FLORAL|GARDEN)/, ["flower"]],
  [/^COSMETICS/, ["tube", "jar"]],
  [/DRINK|JUICE|WATER|BEER|\bALE|WINE|SPIRITS|\bOIL|SYRUP|SAUCE|DRESSING|VINEGAR|SHAMPOO|DETERGENT/, ["bottle"]],
  [/MILK|CREAMER/, ["carton"]],
  [/SOUP|CANNED|CAT FOOD|DOG FOOD|\bCAN\b/, ["can"]],
  [/^DRUG/, ["tube", "box", "jar"]],
  [/./, ["box", "pouch", "jar", "box", "pouch", "can"]],
];

/** Neighbours in colour within a category, so that a shelf looks like one; each maker and product with its own shade. */
export function hueOf(item) {
  const maker = hash(item.manufacturer_id ?? item.brand ?? "") % 5;
  return (hash(item.category ?? "") + 31 * maker + 12 * (hash(item.id) % 4)) % 360;
}

const NOT_A_NAME = /^(oz|lb|ct|pk|ml|gal|qt|pt|in|w)$/i;

function initials(name) {
  const words = `${name}`.split(/[^\p{L}\p{N}]+/u).filter((word) => /^\p{L}/u.test(word) && !NOT_A_NAME.test(word));
  const letters = words.slice(0, 2).map((word) => [...word][0].toUpperCase());
  return letters.join("") || "·";
}

/** A picture of the product's package, labelled with its initials. Its colours follow `--hue`. */
export function artwork(item) {
  const draw = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const said = `${item.department ?? ""} ${item.category ?? ""} ${item.type ?? ""}`.toUpperCase();
  const shapes = PACKAGES_OF.find(([pattern]) => pattern.test(said))[1];
  const parts = [...PACKAGES[shapes[hash(item.type ?? item.category ?? "") % shapes.length]]];
  const [x, y] = parts.splice(-2);
  const picture = draw("svg", { viewBox: "0 0 160 120", focusable: "false" });
  const turn = hash(item.id) % 5;
  picture.append(
    draw("circle", { class: "art-disc", cx: 60 + 10 * turn, cy: 58, r: 46 }),
    draw("ellipse", { class: "art-shadow", cx: 80, cy: 106, rx: 44, ry: 4 }),
    ...parts.map(([what, d]) => draw("path", { class: `art-${what}`, d })),
  );
  const letters = draw("text", { class: "art-letters", x, y, "text-anchor": "middle", "dominant-baseline": "central" });
  letters.textContent = initials(item.name);
  picture.append(letters);
  return picture;
}
