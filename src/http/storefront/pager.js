// The pager: first, previous, a window of numbers, next, last; all of them links to pages of the generation that is shown.

import { byId, count, element, mark } from "./elements.js";
import { addressOf, newest } from "./place.js";

const NUMBERS_EACH_SIDE = 2;

export function showPager({ place: shown, pages, generation }) {
  const place = { ...shown, generation };
  const at = place.page;
  const pager = byId("pager");
  pager.hidden = pages <= 1;
  // Left alone where nothing changed: a link in it may have the focus.
  const drawn = `${addressOf(newest(place))} of ${pages}`;
  if (pager.dataset.drawn === drawn) {
    for (const link of pager.querySelectorAll("a[href]")) link.href = addressOf({ ...place, page: Number(link.dataset.page) });
    return;
  }
  pager.dataset.drawn = drawn;
  const from = Math.max(1, Math.min(at - NUMBERS_EACH_SIDE, pages - 2 * NUMBERS_EACH_SIDE));
  const to = Math.min(pages, Math.max(at + NUMBERS_EACH_SIDE, 1 + 2 * NUMBERS_EACH_SIDE));
  const numbers = [];
  for (let page = from; page <= to; page += 1) {
    const link = pageLink(place, page, count.format(page), { "aria-label": `Page ${page}` });
    mark(link, page === at, "page");
    link.classList.add("number");
    if (Math.abs(page - at) > 1) link.classList.add("far");
    numbers.push(link);
  }
  const step = (name, text, page, label) =>
    page >= 1 && page <= pages && page !== at
      ? pageLink(place, page, text, { "aria-label": label, data: { go: name, page } })
      : element("a", { role: "link", "aria-disabled": "true", "aria-label": label, data: { go: name } }, text);
  pager.replaceChildren(
    step("first", "«", 1, "First page"),
    step("prev", "‹", Math.min(at - 1, pages), "Previous page"),
    ...numbers,
    step("next", "›", at + 1, "Next page"),
    step("last", "»", pages, "Last page"),
    element("span", { class: "pager-of" }, `of ${count.format(pages)}`),
  );
}

/** A link to another page of the same listing. */
export function pageLink(place, page, text, attributes = {}) {
  return element("a", { href: addressOf({ ...place, page }), data: { page }, ...attributes }, text);
}
