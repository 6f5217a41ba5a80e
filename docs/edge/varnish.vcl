# Varnish (7.0 or newer) in front of listcache. Change the backend's address and the addresses that may ban; the rest can stay.
#
# Effect: a page lives as long as listcache says (max-age is the life that is left). Varnish serves it stale while one fetch in the background
# gets a new one (stale-while-revalidate), and while listcache is away or answers 5xx (stale-if-error). It keeps one copy of each page,
# as gzip, and unpacks it for the few clients that do not take gzip.
#
# A change of a listing shows when the lives of its pages end, or at once where listcache has a [cdn.<name>] with provider = "varnish": it bans the
# listing's tag, which all its pages, sorts and sizes share. By hand, with several tags as a|b:
#     curl -X BAN -H 'Listcache-Tags: category:BREAD' http://127.0.0.1:6081/
# Set cdn_max_age in listcache only if every change is banned; this file obeys it (CDN-Cache-Control).
vcl 4.1;

import std;

backend listcache {
    .host = "127.0.0.1";
    .port = "8080";
    # The first request for a listing may take fill_wait (5 s).
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
        # Only tags as listcache writes them may become part of the expression.
        if (req.http.Listcache-Tags !~ "^[A-Za-z0-9%._~:@|\-]+$") {
            return (synth(400, "No tag"));
        }
        ban("obj.http.Surrogate-Key ~ (^|\s)(" + req.http.Listcache-Tags + ")(\s|$)");
        return (synth(200, "Banned"));
    }
    # Server-sent events do not end.
    if (req.url ~ "^/v1/listings/[^/?]+/events") {
        return (pass);
    }
    # A page depends on its URL and on the coding, not on cookies.
    if (req.url ~ "^/v1/listings/") {
        unset req.http.Cookie;
    }
    # listcache ignores the parameters of campaigns; here they would make a copy for each visitor.
    if (req.url ~ "[?&](utm_[a-z]+|gclid|fbclid)=") {
        set req.url = regsuball(req.url, "(utm_[a-z]+|gclid|fbclid)=[^&]*&?", "");
        set req.url = regsub(req.url, "[?&]$", "");
    }
    # vcl_hit decides how stale a page may be. "no": try a newer one first.
    if (req.http.X-Edge-Stale == "no") {
        set req.grace = 0s;
    } else {
        set req.grace = 7d;
    }
}

sub vcl_hash {
    # The path alone names a listing: the page is the same for every Host.
    hash_data(req.url);
    return (lookup);
}

sub vcl_hit {
    if (obj.ttl >= 0s) {
        return (deliver);
    }
    # Stale: served while one fetch in the background gets a new one.
    if (obj.ttl + std.duration(obj.http.X-Edge-Revalidate + "s", 0s) >= 0s) {
        return (deliver);
    }
    # Staler: served only if there is nothing better.
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
        # An error never replaces a page and is not kept: it says Retry-After and no-store.
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
    # The page is kept for the longer of stale-if-error and stale-while-revalidate; vcl_hit decides which of them applies.
    set beresp.grace = 0s;
    unset beresp.http.X-Edge-Revalidate;
    if (beresp.http.Cache-Control ~ "stale-while-revalidate=[0-9]+") {
        set beresp.http.X-Edge-Revalidate = regsub(beresp.http.Cache-Control, "^.*stale-while-revalidate=([0-9]+).*$", "\1");
        set beresp.grace = std.duration(beresp.http.X-Edge-Revalidate + "s", 0s);
    }
    if (beresp.http.Cache-Control ~ "stale-if-error=[0-9]+") {
        set beresp.grace = std.duration(regsub(beresp.http.Cache-Control, "^.*stale-if-error=([0-9]+).*$", "\1s"), beresp.grace);
    }
    # An expired page is kept a little longer, to be asked for by its ETag.
    set beresp.keep = 10m;
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
    # There is no newer page: serve the stale one, if it is still kept.
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
    unset resp.http.X-Edge-Revalidate;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.Surrogate-Key;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
}
