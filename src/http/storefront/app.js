// The sample storefront: one page of one listing, kept current by the listing's own announcements.
//
// What is shown is said by the address alone, so back, forward, reload and "open in a new tab" work. Data reach the
// page as text and attributes only, never as markup.

import { askPage, Trouble } from "./asking.js";
import { showCards, showSkeletons } from "./cards.js";
import { frontListing, labelOf, loadCategories, markCategory, prepareCategories, revealCategory } from "./categories.js";
import { byId, count, mark, money, readable, toast } from "./elements.js";
import { prepareFilters, removeAll, showChips, showFilters } from "./filters.js";
import { follow, isOutdated } from "./live.js";
import { pageLink, showPager } from "./pager.js";
import { addressOf, firstPage, isFiltered, newest, pageUrl, placeFromAddress, SORTS } from "./place.js";
import { openPriceDialog, preparePriceDialog } from "./price.js";
import { showServed } from "./served.js";

// An announcement may outrun the answer of another node behind a balancer: so often the page is asked for again.
const CATCH_UP_TRIES_MAX = 5;
const CATCH_UP_WAIT_MS = 200;
// So long a changed price may take to arrive by itself.
const ANNOUNCEMENT_WAIT_MS = 1500;
const SKELETONS_MAX = 12;

let place = placeFromAddress();
let shown = null; // The page on the screen, or null.
let loading = null; // The AbortController of the load under way.
let retryTimer = 0;

// ---- Going somewhere ----

/** Goes to a place: the address first, then what it says. */
function go(to, focus = null) {
  rememberScroll();
  history.pushState({ scroll: 0 }, "", addressOf(to));
  place = to;
  arrive({ scroll: 0, focus });
}

function arrive(how) {
  follow(place, catchUp);
  return load(how);
}

let scrollTimer = 0;
function rememberScroll() {
  clearTimeout(scrollTimer);
  history.replaceState({ scroll: scrollY }, "");
}

// ---- Loading ----

/** Loads the place. A quiet load leaves scroll and focus alone and keeps passing trouble to itself. */
async function load({ scroll = null, focus = null, quiet = false, cache = "default" } = {}) {
  clearTimeout(retryTimer);
  loading?.abort();
  const mine = (loading = new AbortController());
  if (!quiet) announceLoad();
  try {
    const page = await askPage(place, { cache, signal: mine.signal });
    if (loading !== mine) return;
    loading = null;
    showPage(page);
    if (scroll !== null) scrollTo({ top: scroll, behavior: "instant" });
    if (focus) byId(focus)?.focus({ preventScroll: true });
    catchUp();
  } catch (error) {
    if (loading !== mine || error.name === "AbortError") return;
    loading = null;
    if (!(error instanceof Trouble)) throw error;
    if (error.status === 410 && place.generation) {
      toast("The list has changed since. This is how it is now.");
      history.replaceState(history.state, "", addressOf((place = newest(place))));
      return load({ scroll, focus, quiet });
    }
    if (quiet && shown && error.status !== 404) {
      retryTimer = setTimeout(() => load({ quiet, cache }), 1000 * (error.retryAfter || 2));
    } else {
      showTrouble(error);
    }
  }
}

let tries = 0;

/**
 * Asks for the page again, past the browser's cache, while a newer generation is known than the one shown. A page that the pager
 * led to stays in its generation, and says that it is older.
 */
function catchUp() {
  showOlder();
  if (!shown || loading || place.generation || !isOutdated(shown.generation)) {
    tries = 0;
  } else if (tries < CATCH_UP_TRIES_MAX) {
    const wait = tries === 0 ? 0 : CATCH_UP_WAIT_MS;
    tries += 1;
    clearTimeout(retryTimer);
    retryTimer = setTimeout(() => load({ quiet: true, cache: "no-cache" }), wait);
  } else {
    tries = 0;
  }
}

// ---- Showing ----

function announceLoad() {
  const results = byId("results");
  results.dataset.state = "loading";
  results.setAttribute("aria-busy", "true");
  showControls();
  if (shown?.place.listing !== place.listing) {
    showSkeletons(Math.min(place.size, SKELETONS_MAX));
    byId("pager").hidden = true;
    byId("summary").textContent = "Loading…";
  }
}

function showPage(page) {
  const before = shown && pageUrl(shown.place) === pageUrl(page.place) ? shown : null;
  shown = page;
  byId("trouble").hidden = true;
  showControls();
  showSummary(page);
  showFilters(page);
  showCards(page.items, before !== null);
  showPager(page);
  showServed(page);
  showOlder();
  const results = byId("results");
  results.removeAttribute("aria-busy");
  Object.assign(results.dataset, {
    listing: page.listing,
    sort: page.sort,
    order: page.order,
    page: page.page,
    size: page.limit,
    total: page.total,
    generation: page.generation,
    state: "ready",
  });
}

/** What can be shown before the answer is in: title, sort, order, size, category. */
function showControls() {
  const label = place.listing ? labelOf(place.listing) : "Products";
  document.title = place.page > 1 ? `${label}, page ${place.page} · Larder` : `${label} · Larder`;
  byId("listing-title").textContent = label;
  byId("sort").value = place.sort;
  byId("order").dataset.order = place.order;
  byId("order-text").textContent = SORTS[place.sort][place.order];
  for (const link of byId("sizes").querySelectorAll("a")) {
    const size = Number(link.dataset.size);
    link.href = addressOf(firstPage(place, { size }));
    mark(link, size === place.size, "true");
  }
  showChips(place);
  markCategory(place);
}

function showSummary({ total, offset, count: here, pages }) {
  const summary = byId("summary");
  const all = `${count.format(total)} ${total === 1 ? "product" : "products"}`;
  if (total === 0 && isFiltered(place)) {
    summary.replaceChildren("No product has all of this. ", removeAll(place));
  } else if (total === 0) {
    summary.textContent = "No products here at the moment";
  } else if (here === 0) {
    const many = pages === 1 ? "is only one page" : `are only ${count.format(pages)} pages`;
    summary.replaceChildren(`There ${many}. `, pageLink(place, pages, "Go to the last one"));
  } else {
    const text = here === total ? all : `${count.format(offset + 1)}–${count.format(offset + here)} of ${all}`;
    // Untouched when nothing changed, so that nothing is read aloud.
    if (summary.textContent !== text) summary.textContent = text;
  }
}

/** Says that the page is of an older state than the newest, where it is. */
function showOlder() {
  const isOlder = shown !== null && shown.place.generation !== null && isOutdated(shown.generation);
  byId("older").hidden = !isOlder;
  if (isOlder) byId("older-newest").href = addressOf(newest(shown.place));
}

function showTrouble(trouble) {
  byId("trouble-title").textContent = trouble.title;
  byId("trouble-detail").textContent = trouble.detail;
  byId("retry").hidden = trouble.status === 404;
  byId("trouble").dataset.status = trouble.status;
  byId("trouble").hidden = false;
  // What is on the screen stays there, unless it is another listing's or is gone.
  if (shown?.place.listing !== place.listing || trouble.status === 404) {
    shown = null;
    byId("cards").replaceChildren();
    byId("pager").hidden = true;
    byId("served").hidden = true;
    byId("older").hidden = true;
    byId("summary").textContent = "";
  }
  byId("results").removeAttribute("aria-busy");
  byId("results").dataset.state = "trouble";
  if (trouble.retryAfter > 0) retryTimer = setTimeout(() => start(), 1000 * trouble.retryAfter);
}

// ---- What the shopper does ----

function prepareControls() {
  byId("sort").addEventListener("change", (event) => go(firstPage(place, { sort: event.target.value })));
  byId("order").addEventListener("click", () => {
    go(firstPage(place, { order: place.order === "asc" ? "desc" : "asc" }));
  });
  byId("retry").addEventListener("click", () => start());
  byId("ask-again").addEventListener("click", () => load({ quiet: true, cache: "no-cache" }));
  byId("cards").addEventListener("click", (event) => {
    const card = event.target.closest(".change-price")?.closest("[data-key]");
    const item = card && shown.items.find((each) => `${each.id}` === card.dataset.id);
    if (item) openPriceDialog(item);
  });
  // Links inside the shop change the address without leaving the page; with a modifier they are the browser's.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='/?']");
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented) return;
    event.preventDefault();
    const to = new URL(link.href);
    const drawer = byId("category-drawer");
    const leavesItsLink = drawer.open || byId("results").contains(link);
    drawer.close();
    const keepsFocus = byId("sizes").contains(link) || !leavesItsLink;
    go(placeFromAddress(to.search), keepsFocus ? null : "results");
  });
}

/** The price is in the database. The listing's announcement brings it here; should that be lost, ask. */
function priceChanged({ id, name, price_cents, told }) {
  const price = money.format(price_cents / 100);
  const took = told.milliseconds === null ? "not seen yet" : `on the pages after ${told.milliseconds} ms`;
  byId("served-change").textContent = `${took}, ${told.rows_read} rows read from the database`;
  const isHere = () => shown?.items.some((item) => item.id === id);
  const isShown = () => shown?.items.some((item) => item.id === id && item.price_cents === price_cents);
  const from = place;
  setTimeout(async () => {
    if (place !== from) return;
    if (place.generation) return toast(`${readable(name)} costs ${price} now. This page shows the list as it was before.`);
    if (!isShown() && isHere()) await load({ quiet: true, cache: "no-cache" });
    if (place === from && !isHere()) toast(`${readable(name)} costs ${price} now and has moved to another page`);
  }, ANNOUNCEMENT_WAIT_MS);
}

// ---- Start ----

async function start() {
  try {
    await loadCategories();
    place.listing ??= frontListing();
    if (place.listing === null) throw new Trouble("The shelves are empty", "This shop has no categories yet.");
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    // With a listing in the address the shop works without its list of categories.
    if (!place.listing) {
      showControls();
      showTrouble(error);
      return;
    }
  }
  await arrive({ scroll: history.state?.scroll ?? null });
  revealCategory();
}

history.scrollRestoration = "manual";
addEventListener("popstate", (event) => {
  place = placeFromAddress();
  place.listing ??= frontListing();
  arrive({ scroll: event.state?.scroll ?? 0 });
});
addEventListener("scroll", () => {
  clearTimeout(scrollTimer);
  scrollTimer = setTimeout(rememberScroll, 150);
});
addEventListener("online", () => byId("trouble").hidden || start());
prepareCategories();
prepareControls();
prepareFilters(() => place, go);
preparePriceDialog(priceChanged);
start();
