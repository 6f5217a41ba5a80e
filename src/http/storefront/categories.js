// The list of categories: a column where there is room, a drawer where there is not.

import { ask } from "./asking.js";
import { byId, count, element, mark, readable } from "./elements.js";
import { addressOf, withoutFilters } from "./place.js";

let categories = [];

/** Asks for the categories: `[{ listing, label, total }]`, by label. */
export async function loadCategories() {
  const response = await ask("/demo/categories");
  categories = await response.json();
  const byLabel = new Intl.Collator("en");
  categories.sort((a, b) => byLabel.compare(a.label, b.label));
  const rows = categories.map(({ listing, label, total }) =>
    element(
      "li",
      { data: { search: label.toLowerCase() } },
      element(
        "a",
        { href: "/", data: { listing } },
        element("span", { class: "category-label" }, title(label)),
        element(
          "span",
          { class: "category-total" },
          count.format(total),
          element("span", { class: "visually-hidden" }, " products"),
        ),
      ),
    ),
  );
  byId("category-list").replaceChildren(...rows);
  search();
}

/** The listing that the front page shows: the fullest shelf. */
export function frontListing() {
  return categories.reduce((best, each) => (best && best.total >= each.total ? best : each), null)?.listing ?? null;
}

export function labelOf(listing) {
  const known = categories.find((category) => category.listing === listing);
  return title(known ? known.label : listing.replace(/^category:/, ""));
}

/** Lets every category's link lead to its first page, in the place's sort and size. */
export function markCategory(place) {
  for (const link of byId("category-list").querySelectorAll("a")) {
    link.href = addressOf(withoutFilters(place, { listing: link.dataset.listing }));
    mark(link, link.dataset.listing === place.listing, "page");
  }
}

/** Brings the current category into the list's view, without moving the page. */
export function revealCategory() {
  const list = byId("category-list");
  const link = list.querySelector("[aria-current]");
  if (link) list.scrollTop = link.offsetTop - list.clientHeight / 3;
}

export function prepareCategories() {
  const drawer = byId("category-drawer");
  const nav = byId("categories");
  byId("category-search").addEventListener("input", search);
  byId("category-search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") byId("category-list").querySelector("li:not([hidden]) a")?.click();
  });
  byId("open-categories").addEventListener("click", () => {
    drawer.showModal();
    revealCategory();
  });
  drawer.addEventListener("click", (event) => event.target === drawer && drawer.close());
  // One list, moved: so that search, scroll and the current category are the same in both.
  const narrow = matchMedia("(max-width: 820px)");
  const settle = () => {
    drawer.close();
    (narrow.matches ? drawer : byId("category-column")).append(nav);
    revealCategory();
  };
  narrow.addEventListener("change", settle);
  settle();
}

function search() {
  const wanted = byId("category-search").value.trim().toLowerCase();
  let found = 0;
  for (const row of byId("category-list").children) {
    row.hidden = !row.dataset.search.includes(wanted);
    found += row.hidden ? 0 : 1;
  }
  byId("category-none").hidden = found > 0 || categories.length === 0;
}

/** A category's label as a heading; the listing of everything is called just that. */
function title(label) {
  return label === "all" ? "All products" : readable(label);
}
