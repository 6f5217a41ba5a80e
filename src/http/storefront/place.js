// A place in the shop: which page of which listing. The address says it, and nothing else does.
//
// A page that is reached by the pager is of the same generation as the page before, as by a cursor: so a shopper who pages on sees
// each product exactly once, whatever changes meanwhile. An address without a generation shows the newest.

export const SORTS = {
  popularity: { asc: "Most popular", desc: "Least popular" },
  price: { asc: "Lowest first", desc: "Highest first" },
  list_price: { asc: "Lowest first", desc: "Highest first" },
  discount: { asc: "Biggest first", desc: "Smallest first" },
  newest: { asc: "Newest first", desc: "Oldest first" },
  name: { asc: "A to Z", desc: "Z to A" },
};
/** The filters of `demo.toml`. */
const FILTERS = ["brand", "type", "price"];
/** As many as the shop answers at once. */
const VALUES_MAX = 50;
const NO_FILTERS = Object.freeze(Object.fromEntries(FILTERS.map((name) => [name, []])));
const SIZES = [12, 24, 48, 96];
const GENERATION = /^[1-9][0-9]{0,15}-[0-9a-f]{8}$/;
const DEFAULTS = { sort: "popularity", order: "asc", page: 1, size: 24 };

/**
 * The place that an address's query names: `{ listing, sort, order, page, size, filters, generation }`; `listing` is null on the front
 * page, `generation` where the newest is shown. `filters` has the chosen values of each filter.
 */
export function placeFromAddress(search = location.search) {
  const given = new URLSearchParams(search);
  const page = Number(given.get("page"));
  const size = Number(given.get("size"));
  return {
    listing: given.get("listing"),
    sort: Object.hasOwn(SORTS, given.get("sort")) ? given.get("sort") : DEFAULTS.sort,
    order: given.get("order") === "desc" ? "desc" : DEFAULTS.order,
    page: Number.isSafeInteger(page) && page > 0 ? page : DEFAULTS.page,
    size: SIZES.includes(size) ? size : DEFAULTS.size,
    filters: Object.fromEntries(FILTERS.map((name) => [name, [...new Set(given.getAll(`f.${name}`))].slice(0, VALUES_MAX)])),
    generation: GENERATION.test(given.get("generation")) ? given.get("generation") : null,
  };
}

export function addressOf(place) {
  const query = new URLSearchParams({ listing: place.listing });
  for (const name of ["sort", "order", "page", "size"]) {
    if (place[name] !== DEFAULTS[name]) query.set(name, place[name]);
  }
  for (const [name, value] of chosen(place)) query.append(`f.${name}`, value);
  if (place.generation) query.set("generation", place.generation);
  return `/?${query}`;
}

/** The same page of the newest generation. */
export const newest = (place) => ({ ...place, generation: null });

/** The first page of the newest generation, in another sort, order or size. */
export const firstPage = (place, changed) => ({ ...newest(place), page: 1, ...changed });

/** The pairs of a filter and a chosen value. */
const chosen = ({ filters }) => Object.entries(filters).flatMap(([name, values]) => values.map((value) => [name, value]));

export const isFiltered = (place) => chosen(place).length > 0;

/** The first page with a value chosen, or not any more. */
export function withFilter(place, name, value, isChosen) {
  const others = place.filters[name].filter((other) => other !== value);
  return firstPage(place, { filters: { ...place.filters, [name]: isChosen ? [...others, value] : others } });
}

/** The first page of the whole listing, or of another one. */
export const withoutFilters = (place, changed) => firstPage(place, { filters: NO_FILTERS, ...changed });

const listingUrl = (place) => `/v1/listings/${encodeURIComponent(place.listing)}`;

/** Where the page's JSON is. */
export const pageUrl = ({ sort, order, page, size, generation, ...place }) =>
  `${listingUrl(place)}?sort=${sort}&order=${order}&page=${page}&size=${size}&facets=${FILTERS}` +
  chosen(place).map(([name, value]) => `&f.${name}=${encodeURIComponent(value)}`).join("") +
  (generation ? `&generation=${generation}` : "");

/** Where the announcements of the place's listing are. */
export const eventsUrl = (place) => `${listingUrl(place)}/events?sort=${place.sort}`;
