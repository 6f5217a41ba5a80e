// The open page keeps itself current: it follows the announcements of its listing.

import { byId } from "./elements.js";
import { eventsUrl } from "./place.js";

const RETRY_MS = 3000;
const STATES = { connecting: "Connecting", live: "Live", away: "Reconnecting" };

let source = null;
let following = null; // The URL of the stream.
let heard = null; // The newest generation it named.
let retryTimer = 0;

/** Follows the place's listing, and no other any more. `onNews` is called when a generation is heard of. */
export function follow(place, onNews) {
  const url = eventsUrl(place);
  if (url === following) return;
  following = url;
  heard = null;
  connect(place, onNews);
}

/** Whether a generation newer than this one was announced. Ids grow; what follows the dash only tells twins apart. */
export function isOutdated(generation) {
  const id = (of) => BigInt(of.split("-")[0]);
  return heard !== null && id(heard) > id(generation);
}

function connect(place, onNews) {
  clearTimeout(retryTimer);
  source?.close();
  const mine = (source = new EventSource(following));
  say("connecting");
  mine.onopen = () => say("live");
  mine.onerror = () => {
    say("away");
    // A broken connection is mended by the browser; an answer that is no stream is final for it, not for us.
    if (mine.readyState === EventSource.CLOSED && mine === source) {
      retryTimer = setTimeout(() => connect(place, onNews), RETRY_MS);
    }
  };
  const listen = (event) => {
    const news = JSON.parse(event.data);
    if (mine !== source || (news.sort && news.sort !== place.sort)) return;
    heard = news.generation;
    onNews();
  };
  mine.addEventListener("published", listen);
  mine.addEventListener("deleted", listen);
}

function say(state) {
  byId("live").dataset.state = state;
  byId("live-text").textContent = STATES[state];
}
