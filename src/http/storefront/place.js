// A place in the shop: which page of which listing. The address says it, and nothing else does.

export const SORTS = {
  popularity: { asc: "Most popular", desc: "Least popular" },
  price: { asc: "Lowest first", desc: "Highest first" },
  list_price: { asc: "Lowest first", desc: "Highest first" },
  discount: { asc: "Biggest first", desc: "Smallest first" },
  newest: { asc: "Newest first", desc: "Oldest first" },
  name: { asc: "A to Z", desc: "Z to A" },
};
const SIZES = [12, 24, 48, 96];
const DEFAULTS = { sort: "popularity", order: "asc", page: 1, size: 24 };

/** The place that an address's query names: `{ listing, sort, order, page, size }`; `listing` is null on the front page. */
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
  };
}

export function addressOf(place) {
  const query = new URLSearchParams({ listing: place.listing });
  for (const name of ["sort", "order", "page", "size"]) {
    if (place[name] !== DEFAULTS[name]) query.set(name, place[name]);
  }
  return `/?${query}`;
}

const listingUrl = (place) => `/v1/listings/${encodeURIComponent(place.listing)}`;

/** Where the page's JSON is. */
export const pageUrl = ({ sort, order, page, size, ...place }) =>
  `${listingUrl(place)}?sort=${sort}&order=${order}&page=${page}&size=${size}`;

/** Where the announcements of the place's listing are. */
export const eventsUrl = (place) => `${listingUrl(place)}/events?sort=${place.sort}`;
