# Varnish (7.0 or newer) in front of listcache. Change the backend's address and who may ban; the rest can stay.
#
# What it does: pages live as long as listcache says (max-age is the life that is left), are served stale while one fetch in the background
# makes them new (stale-while-revalidate), and while listcache is away or answers 5xx (stale-if-error). One copy of each page is kept,
# as gzip; Varnish unpacks it for the few that do not take gzip.
#
# A listing that changed is seen when its pages' lives end. To see it at once, ban its tag, which all its pages, sorts and sizes share:
#     curl -X BAN -H 'Surrogate-Key: category:BREAD' http://127.0.0.1:6081/
# Only whoever does that on every change may set cdn_max_age in listcache, which this file obeys (CDN-Cache-Control).
vcl 4.1;

import std;

backend listcache {
    .host = "127.0.0.1";
    .port = "8080";
    # A page that nobody has asked for yet may take fill_wait (5 s).
    .first_byte_timeout = 10s;
    .probe = {
        .url = "/health/ready";
        .interval = 2s;
        .timeout = 1s;
        .window = 3;
        .threshold = 2;
        .initial = 2;
    }
}

acl may_ban {
    "localhost";
}

sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.X-Edge-Stale;
    }
    if (req.method == "BAN") {
        if (client.ip !~ may_ban) {
            return (synth(403, "Forbidden"));
        }
        # A tag as listcache writes it; what is none must not become part of the expression.
        if (req.http.Surrogate-Key !~ "^[A-Za-z0-9%._~:@-]+$") {
            return (synth(400, "No tag"));
        }
        ban("obj.http.X-Edge-Listing == " + req.http.Surrogate-Key);
        return (synth(200, "Banned"));
    }
    # Server-sent events do not end.
    if (req.url ~ "^/v1/listings/[^/?]+/events") {
        return (pass);
    }
    # A page depends on its URL and on the coding, on nobody's cookie.
    if (req.url ~ "^/v1/listings/") {
        unset req.http.Cookie;
    }
    # listcache ignores what campaigns add to URLs; here it would be a copy a visitor.
    if (req.url ~ "[?&](utm_[a-z]+|gclid|fbclid)=") {
        set req.url = regsuball(req.url, "(utm_[a-z]+|gclid|fbclid)=[^&]*&?", "");
        set req.url = regsub(req.url, "[?&]$", "");
    }
    # How stale a page may be is decided on the hit. "no": a newer one first.
    if (req.http.X-Edge-Stale == "no") {
        set req.grace = 0s;
    } else {
        set req.grace = 7d;
    }
}

sub vcl_hash {
    # Names are told by the path alone: whatever Host a request came by, the page is the same.
    hash_data(req.url);
    return (lookup);
}

sub vcl_hit {
    if (obj.ttl >= 0s) {
        return (deliver);
    }
    # Stale, and one fetch in the background makes it new.
    if (obj.ttl + std.duration(obj.http.X-Edge-Revalidate + "s", 0s) >= 0s) {
        return (deliver);
    }
    # Staler: only where there is nothing better.
    if (req.http.X-Edge-Stale == "yes" || !std.healthy(req.backend_hint)) {
        return (deliver);
    }
    set req.http.X-Edge-Stale = "no";
    return (restart);
}

sub vcl_backend_fetch {
    unset bereq.http.X-Edge-Stale;
}

sub vcl_backend_response {
    if (beresp.status >= 500) {
        # Never in the place of a page, and kept for nobody: it says Retry-After and no-store.
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        return (deliver);
    }
    if (beresp.http.CDN-Cache-Control ~ "max-age=[0-9]+") {
        set beresp.ttl = std.duration(regsub(beresp.http.CDN-Cache-Control, "^.*max-age=([0-9]+).*$", "\1s"), beresp.ttl);
    }
    # Of stale-if-error and stale-while-revalidate the longer one: until then it is kept, which of them holds is told on the hit.
    set beresp.grace = 0s;
    unset beresp.http.X-Edge-Revalidate;
    if (beresp.http.Cache-Control ~ "stale-while-revalidate=[0-9]+") {
        set beresp.http.X-Edge-Revalidate = regsub(beresp.http.Cache-Control, "^.*stale-while-revalidate=([0-9]+).*$", "\1");
        set beresp.grace = std.duration(beresp.http.X-Edge-Revalidate + "s", 0s);
    }
    if (beresp.http.Cache-Control ~ "stale-if-error=[0-9]+") {
        set beresp.grace = std.duration(regsub(beresp.http.Cache-Control, "^.*stale-if-error=([0-9]+).*$", "\1s"), beresp.grace);
    }
    # What has lapsed is kept a little longer, to be asked for by its ETag.
    set beresp.keep = 10m;
    # The listing's own tag is the first.
    set beresp.http.X-Edge-Listing = regsub(beresp.http.Surrogate-Key, " .*$", "");
}

sub vcl_backend_error {
    if (bereq.is_bgfetch) {
        return (abandon);
    }
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "1";
    set beresp.uncacheable = true;
    set beresp.ttl = 0s;
}

sub vcl_deliver {
    # No newer page is to be had: the stale one then, if it is still kept.
    if (resp.status >= 500 && req.http.X-Edge-Stale == "no") {
        set req.http.X-Edge-Stale = "yes";
        return (restart);
    }
    # RFC 9211: members nearest the origin first.
    if (obj.hits > 0) {
        set resp.http.Cache-Status = regsub(resp.http.Cache-Status + ", varnish; hit", "^, ", "");
    } else {
        set resp.http.Cache-Status = regsub(resp.http.Cache-Status + ", varnish; fwd=miss", "^, ", "");
    }
    # Between listcache and here only.
    unset resp.http.X-Edge-Listing;
    unset resp.http.X-Edge-Revalidate;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.Surrogate-Key;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
}
