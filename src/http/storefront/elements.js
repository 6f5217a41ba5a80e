// Small words that every part of the page uses: elements, formats, a notice.

export const byId = (id) => document.getElementById(id);
export const money = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
export const count = new Intl.NumberFormat("en-US");
export const month = new Intl.DateTimeFormat("en-US", { month: "short", year: "numeric" });

/** An element with attributes, data attributes (`data`) and children; a child is a node, a text or null. */
export function element(tag, { data = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Says which of several links is the current one, with the word that `aria-current` has for it. */
export function mark(link, isCurrent, word) {
  if (isCurrent) link.setAttribute("aria-current", word);
  else link.removeAttribute("aria-current");
}

/** Catalogues shout: "ICE CREAM:VANILLA 56 OZ" is shown as "Ice Cream: Vanilla 56 oz". Mixed case stays as it is. */
export function readable(text) {
  if (!text || text !== text.toUpperCase()) return text || "";
  return text
    .toLowerCase()
    .replace(/([a-z])([:,])(?=\S)/g, "$1$2 ")
    .replace(/(^|[^a-z0-9'])([a-z])/g, (_, before, letter) => before + letter.toUpperCase())
    .replace(/\b([\d.]+ ?)(Oz|Lb|Ct|Pk|Ml|Gal|Qt|Pt)\b/g, (_, number, unit) => number + unit.toLowerCase());
}

let toastTimer = 0;

/** A short notice, shown for a while and read aloud. */
export function toast(text) {
  const notice = byId("toast");
  notice.textContent = text;
  notice.dataset.shown = "true";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (notice.dataset.shown = "false"), 5000);
}
