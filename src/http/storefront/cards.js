// Cards: the items of the page on the screen, and which of them changed.

import { artwork, hueOf } from "./artwork.js";
import { byId, count, element, money, month, readable, toast } from "./elements.js";

const HIGHLIGHT_MS = 6000;

/**
 * Shows the items, reusing the cards of those that stay: what has the focus keeps it, wherever its card moves to.
 * With `isUpdate`, the same page shown anew, cards with another price than before are highlighted.
 */
export function showCards(items, isUpdate) {
  const list = byId("cards");
  const focused = document.activeElement;
  const old = new Map();
  for (const card of list.querySelectorAll("li[data-key]")) old.set(card.dataset.key, card);
  const seen = new Map();
  const changes = [];
  const cards = items.map((item) => {
    // An id may stand in a listing twice.
    const nth = (seen.get(item.id) ?? 0) + 1;
    seen.set(item.id, nth);
    const key = `${item.id}#${nth}`;
    const card = old.get(key) ?? newCard(key);
    if (fillCard(card, item) && isUpdate) changes.push({ card, item });
    return card;
  });
  arrange(list, cards);
  if (focused !== document.activeElement) {
    (focused.isConnected ? focused : byId("results")).focus({ preventScroll: true });
  }
  for (const { card } of changes) highlight(card);
  if (changes.length > 0) {
    const { item } = changes[0];
    const others = changes.length > 1 ? ` and ${count.format(changes.length - 1)} more` : "";
    toast(`${readable(item.name)} now costs ${money.format(item.price_cents / 100)}${others}`);
  }
}

/** Makes the cards the list's children, touching only what is not in its place: the rest keeps focus and scroll. */
function arrange(list, cards) {
  const staying = new Set(cards);
  for (const card of [...list.children]) if (!staying.has(card)) card.remove();
  let next = list.firstElementChild;
  for (const card of cards) {
    if (card === next) next = next.nextElementSibling;
    else list.insertBefore(card, next);
  }
}

const highlights = new WeakMap();

function highlight(card) {
  clearTimeout(highlights.get(card));
  card.classList.remove("changed");
  void card.offsetWidth; // Without a layout between, a second change would not start the animation again.
  card.classList.add("changed");
  highlights.set(card, setTimeout(() => card.classList.remove("changed"), HIGHLIGHT_MS));
}

function newCard(key) {
  return element(
    "li",
    { class: "card", data: { key } },
    element("div", { class: "art", "aria-hidden": "true" }),
    element("span", { class: "badge", hidden: "" }),
    element(
      "div",
      { class: "card-body" },
      element("p", { class: "card-brand" }),
      element("h2", { class: "card-name" }),
      element("p", { class: "card-meta" }),
      element(
        "p",
        { class: "card-price" },
        element("span", { class: "price" }),
        element("s", { class: "list-price", hidden: "" }),
      ),
      element("button", { class: "change-price", type: "button" }, "Change price"),
    ),
  );
}

/** Puts an item on a card; says whether the card showed another price before. */
function fillCard(card, item) {
  const part = (name) => card.querySelector(`.${name}`);
  const reduced = item.list_cents > item.price_cents;
  const name = readable(item.name);
  const hadPrice = card.dataset.priceCents;
  Object.assign(card.dataset, { id: item.id, priceCents: item.price_cents });
  if (card.dataset.drawn !== item.name) {
    card.dataset.drawn = item.name;
    part("art").replaceChildren(artwork(item));
    part("art").style.setProperty("--hue", hueOf(item));
  }
  part("card-name").textContent = name;
  part("card-name").title = name;
  part("card-brand").replaceChildren(
    item.brand === "Private" ? "Larder’s own" : (item.brand ?? ""),
    element("span", { class: "card-department" }, item.department ? ` · ${readable(item.department)}` : ""),
  );
  part("card-meta").replaceChildren(
    item.orders > 0 ? `${count.format(item.orders)} ${item.orders === 1 ? "order" : "orders"}` : "New on the shelf",
    element(
      "span",
      { class: "card-since" },
      item.first_sold ? ` · since ${month.format(new Date(item.first_sold))}` : "",
    ),
  );
  part("price").textContent = money.format(item.price_cents / 100);
  part("price").classList.toggle("reduced", reduced);
  part("list-price").hidden = !reduced;
  part("badge").hidden = !reduced;
  if (reduced) {
    const list = money.format(item.list_cents / 100);
    part("list-price").replaceChildren(element("span", { class: "visually-hidden" }, "instead of "), list);
    part("badge").textContent = `−${Math.max(1, Math.round(100 - (100 * item.price_cents) / item.list_cents))} %`;
  }
  part("change-price").setAttribute("aria-label", `Change price of ${name}`);
  return hadPrice !== undefined && hadPrice !== `${item.price_cents}`;
}

/** Blank cards for a page that is on its way. */
export function showSkeletons(many) {
  const blanks = Array.from({ length: many }, () => element("li", { class: "card skeleton", "aria-hidden": "true" }));
  byId("cards").replaceChildren(...blanks);
}
