// "Change price": a dialog that changes the shop's database. The page itself changes when the listing does.

import { ask, Trouble } from "./asking.js";
import { byId, money, readable } from "./elements.js";

const PRICE_CENTS_MAX = 9_999_999;

let product = null; // { id, name, price_cents, list_cents } of the card that was chosen.

/** Makes the dialog work. `onChanged` is told the product with its new price, and what that took, once its category shows it. */
export function preparePriceDialog(onChanged) {
  const dialog = byId("price-dialog");
  const input = byId("price-input");
  const save = byId("price-save");

  byId("price-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const price_cents = centsOf(input.value);
    if (price_cents === null) {
      complain(`Please enter a price from $0.01 to ${money.format(PRICE_CENTS_MAX / 100)}, like 3.49.`);
      return;
    }
    const chosen = product;
    save.disabled = true;
    try {
      const answer = await ask("/demo/price", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ id: chosen.id, price_cents }),
      });
      if (product === chosen) dialog.close();
      onChanged({ ...chosen, price_cents, told: await answer.json() });
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      complain(`${error.title}. ${error.detail}`);
    } finally {
      save.disabled = false;
    }
  });
  byId("price-cancel").addEventListener("click", () => dialog.close());
  // The card may have left the page meanwhile, and with it the button that the focus would return to.
  dialog.addEventListener("close", () => {
    if (document.activeElement === document.body) byId("results").focus({ preventScroll: true });
  });
  // A click on the dialog itself, not on what is in it, is one beside it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  for (const suggestion of dialog.querySelectorAll("[data-factor]")) {
    suggestion.addEventListener("click", () => {
      const { factor } = suggestion.dataset;
      const cents = factor === "list" ? product.list_cents : Math.round(product.price_cents * Number(factor));
      input.value = (Math.max(1, cents) / 100).toFixed(2);
      input.focus();
      input.select();
    });
  }
}

export function openPriceDialog(item) {
  product = item;
  byId("price-product").textContent = `${readable(item.name)}, now ${money.format(item.price_cents / 100)}`;
  byId("price-input").value = (item.price_cents / 100).toFixed(2);
  document.querySelector("[data-factor=list]").hidden = !(item.list_cents > 0);
  complain("");
  byId("price-dialog").showModal();
  byId("price-input").select();
}

function complain(text) {
  byId("price-error").textContent = text;
  const input = byId("price-input");
  if (text) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
  } else {
    input.removeAttribute("aria-invalid");
  }
}

/** "3.49", "3,49" and "$3.49" are 349 cents; null where it is no price. */
function centsOf(text) {
  const given = text.trim().replace(/^\$\s*/, "").replace(",", ".");
  if (!/^\d{1,6}(\.\d{1,2})?$/.test(given)) return null;
  const cents = Math.round(Number(given) * 100);
  return cents >= 1 && cents <= PRICE_CENTS_MAX ? cents : null;
}
