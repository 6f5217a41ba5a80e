// What served this page: the layers it came through, told by `Cache-Status` (RFC 9211), and how long it took.

import { byId, element } from "./elements.js";

const LAYERS = { browser: "Browser", l1: "L1", redis: "Redis", origin: "Origin" };
const SENTENCES = {
  browser: "The browser’s own cache; nobody was asked",
  l1: "L1: memory of the listcache process",
  redis: "Redis: chunks of the listing’s stream",
  origin: "The origin: the shop’s database was read",
};
const DETAILS = {
  refreshing: "being refreshed",
  "origin-error": "the origin fails",
  "redis-down": "Redis is away",
  "redis-refuses": "Redis refuses commands",
  "redis-full": "Redis is full",
};

/** `listcache-redis; hit; ttl=48, listcache-l1; fwd=uri-miss` as `[{ cache, hit: true, ttl: "48" }, { cache, fwd }]`. */
function parseCacheStatus(text) {
  return (text ?? "")
    .split(",")
    .filter((member) => member.trim())
    .map((member) => {
      const [cache, ...parameters] = member.split(";").map((part) => part.trim());
      const pairs = parameters.map((parameter) => {
        const [name, value = true] = parameter.split("=");
        return [name, typeof value === "string" ? value.replace(/^"|"$/g, "") : value];
      });
      return { cache, ...Object.fromEntries(pairs) };
    });
}

function layerOf(members, fromBrowser) {
  const member = (end) => members.find(({ cache }) => cache.endsWith(end));
  if (fromBrowser) return "browser";
  if (member("-l1")?.hit) return "l1";
  if (member("-redis")?.hit) return "redis";
  return member("-redis")?.fwd ? "origin" : "";
}

function freshnessOf(members) {
  const { ttl, detail } = members.find((member) => member.ttl !== undefined) ?? {};
  if (ttl === undefined) return { text: "", stale: false };
  const stale = Number(ttl) < 0;
  const why = DETAILS[detail] ? `, ${DETAILS[detail]}` : "";
  return { text: stale ? `stale for ${-ttl} s${why}` : `fresh for ${ttl} s${why}`, stale };
}

export function showServed({ headers, fromBrowser, ms, generation, url }) {
  const members = parseCacheStatus(headers.get("Cache-Status"));
  const layer = layerOf(members, fromBrowser);
  const freshness = freshnessOf(members);
  const panel = byId("served");
  panel.hidden = false;
  panel.dataset.layer = layer;
  panel.dataset.ms = ms.toFixed(2);
  byId("served-path").replaceChildren(...path(layer));
  byId("served-ms").textContent = ms.toFixed(ms < 10 ? 1 : 0);
  byId("served-freshness").textContent = freshness.text;
  byId("served-freshness").dataset.stale = freshness.stale;
  byId("served-layer").textContent = SENTENCES[layer] ?? "It did not say";
  byId("served-generation").textContent = generation;
  for (const header of ["ETag", "Cache-Control", "Cache-Status"]) {
    byId(`served-${header.toLowerCase()}`).textContent = headers.get(header) ?? "–";
  }
  byId("served-url").textContent = `GET ${decodeURIComponent(url)}`;
  byId("served-url").href = url;
}

/** The layers in the order they were asked: those passed, the one that answered, those not needed. */
function path(layer) {
  const asked = layer === "browser" ? ["browser"] : ["l1", "redis", "origin"];
  const answered = asked.indexOf(layer);
  return asked.map((name, at) => {
    const result = answered < 0 || at > answered ? "unasked" : at < answered ? "miss" : "hit";
    const said = { hit: " answered", miss: " did not have it", unasked: " was not asked" }[result];
    return element(
      "span",
      { class: "step", data: { step: name, result } },
      LAYERS[name],
      element("span", { class: "visually-hidden" }, `${said}. `),
    );
  });
}
