// The filters: what the shelf has, with counts, and what of it is chosen. Counts are those of the page that is shown, of one state of the list.

import { byId, count, element, money, readable } from "./elements.js";
import { addressOf, firstPage, isFiltered, withFilter, withoutFilters } from "./place.js";

const TITLES = { brand: "Brand", type: "Kind", price: "Price" };

/** Shows the page's counts and what is chosen. What has the focus keeps it. */
export function showFilters({ place, facets = {} }) {
  for (const name of Object.keys(TITLES)) {
    const rows = rowsOf(name, facets[name] ?? {}, place.filters[name]);
    const list = byId(`filter-${name}`);
    const old = new Map([...list.children].map((row) => [row.dataset.value, row]));
    list.replaceChildren(...rows.map((row) => fill(old.get(row.value) ?? newRow(name, row.value), row)));
    list.closest("fieldset").hidden = rows.length === 0;
  }
  showChips(place);
}

/** What is chosen, each with a link that takes it away; shown before the answer is in. */
export function showChips(place) {
  const chips = Object.entries(place.filters).flatMap(([name, values]) =>
    values.map((value) => {
      const text = textOf(name, value);
      return element(
        "li",
        {},
        element(
          "a",
          { class: "chip", href: addressOf(withFilter(place, name, value, false)), data: { filter: name, value } },
          element("span", { class: "visually-hidden" }, "Remove "),
          `${TITLES[name]}: ${text}`,
          element("span", { "aria-hidden": "true" }, " ×"),
        ),
      );
    }),
  );
  if (isFiltered(place)) chips.push(element("li", {}, removeAll(place)));
  byId("chips").replaceChildren(...chips);
}

/** A link to the whole shelf. */
export const removeAll = (place) =>
  element("a", { class: "chip all", href: addressOf(withoutFilters(place)) }, "Remove all filters");

/** Tells when a shopper chooses: `go` takes the place to go to, and the id of what keeps the focus. */
export function prepareFilters(placeNow, go) {
  byId("filters").addEventListener("change", ({ target }) => {
    const { filter, value } = target.closest("li").dataset;
    go(withFilter(placeNow(), filter, value, target.checked), target.id);
  });
  // One panel, moved: a column where there is room, folded above the products where there is not.
  const narrow = matchMedia("(max-width: 820px)");
  const settle = () => (narrow.matches ? byId("filters-narrow") : byId("category-column")).append(byId("filters"));
  narrow.addEventListener("change", settle);
  settle();
}

/** The rows of a filter: its values, or the parts between its steps; those that are chosen always. */
function rowsOf(name, facet, chosen) {
  const counted = facet.steps
    ? facet.steps.map((step) => ({ value: step.range, count: step.count, selected: chosen.includes(step.range) }))
    : (facet.values ?? []);
  const rows = counted.filter((row) => row.count > 0 || row.selected);
  for (const value of chosen) {
    if (!rows.some((row) => row.value === value)) rows.push({ value, count: 0, selected: true });
  }
  return rows;
}

function newRow(name, value) {
  const id = `filter-${name}-${encodeURIComponent(value)}`;
  return element(
    "li",
    { data: { filter: name, value } },
    element(
      "label",
      {},
      element("input", { type: "checkbox", id }),
      element("span", { class: "filter-label" }, textOf(name, value)),
      element("span", { class: "filter-count" }),
    ),
  );
}

function fill(row, { count: many, selected }) {
  row.querySelector("input").checked = selected;
  row.querySelector(".filter-count").replaceChildren(
    count.format(many),
    element("span", { class: "visually-hidden" }, many === 1 ? " product" : " products"),
  );
  return row;
}

/** A value as shoppers read it: `200..<500` is `$2.00 – $5.00`. */
function textOf(name, value) {
  if (name === "brand" && value === "Private") return "Larder’s own";
  if (name !== "price") return readable(value);
  const [least, most] = value.split("..").map((bound) => bound.replace("<", ""));
  const shown = (bound) => money.format(Number(bound) / 100);
  if (!least) return `Under ${shown(most)}`;
  return most ? `${shown(least)} – ${shown(most)}` : `${shown(least)} and more`;
}
