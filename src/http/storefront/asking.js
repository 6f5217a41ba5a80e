// Asking the shop: requests, what went wrong with them, and how long a page took.

import { pageUrl } from "./place.js";

/** A failure as a shopper should hear of it. */
export class Trouble extends Error {
  constructor(title, detail, { status = 0, retryAfter = 0 } = {}) {
    super(title);
    Object.assign(this, { title, detail, status, retryAfter });
  }
}

/** The answer, if it is a good one; throws {@link Trouble} otherwise, and AbortError where the asker gave up. */
export async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const about = { status, retryAfter };
  if (status === 404) {
    const detail = "It may have been renamed or removed. The others are in the list of categories.";
    throw new Trouble("There is no such category", detail, about);
  }
  if (status === 503) {
    throw new Trouble("One moment, please", "These products are just being put on the shelf.", about);
  }
  throw new Trouble("That did not work", problem.detail || problem.title || `The answer was ${status}.`, about);
}

function unreachable() {
  const detail = navigator.onLine
    ? "The shop did not answer. It may be restarting."
    : "Your device seems to be offline. The shop comes back by itself with the connection.";
  return new Trouble("The shop cannot be reached", detail);
}

/** One page, with its headers, what it took in milliseconds, and whether the browser's own cache gave it. */
export async function askPage(place, { cache, signal }) {
  const url = pageUrl(place);
  const began = performance.now();
  const response = await ask(url, { cache, signal });
  let page;
  try {
    page = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  const took = performance.now() - began;
  const entry = performance.getEntriesByName(new URL(url, location).href, "resource").at(-1);
  // The buffer of entries is small; when it is full, none are added.
  performance.clearResourceTimings();
  const measured = entry && entry.startTime >= began - 1 ? entry : null;
  return {
    ...page,
    place,
    url,
    headers: response.headers,
    // From its own cache a browser says that nothing was transferred.
    fromBrowser: measured !== null && measured.transferSize === 0 && measured.decodedBodySize > 0,
    ms: measured ? measured.responseEnd - (measured.requestStart || measured.startTime) : took,
  };
}
