//! The servers that shoppers come to, and how their answers are read.

use crate::{
    client::Answer,
    servers::{Server, listcache::Listcache},
};

/// Keeps pages packed, by their URL, and forgets those of a listing when told so.
pub const VCL: &str = r#"
vcl 4.1;
BACKEND
sub vcl_recv {
    if (req.method == "BAN") {
        ban("obj.http.X-Listing == " + req.http.X-Listing);
        return (synth(200, "Banned"));
    }
}
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}
sub vcl_backend_response {
    set beresp.do_gzip = true;
}
sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "hit";
    }
}
"#;

/// Where pages are asked for, and how its answers are read.
pub struct Site<'a> {
    pub address: &'a str,
    /// Where listings are put.
    pub origin: &'a str,
    /// Whether it must be told of changes.
    pub purges: bool,
    /// Whether its links are followed, which pin a page to its generation; else the next page is asked for by its offset.
    pub follows_links: bool,
    pub revision_of_put: fn(&str) -> Option<u64>,
    pub revision_of_page: fn(&Answer) -> Option<u64>,
    pub is_hit: fn(&Answer) -> bool,
}

impl<'a> Site<'a> {
    pub fn of_listcache(service: &'a Listcache, follows_links: bool) -> Self {
        Self {
            address: service.address(),
            origin: service.address(),
            purges: false,
            follows_links,
            revision_of_put: |said| {
                let said: serde_json::Value = serde_json::from_str(said).ok()?;
                said["generation"].as_str()?.split('-').next()?.parse().ok()
            },
            revision_of_page: |answer| {
                // The tag's second part is the generation.
                let generation = answer.header("etag").split('.').nth(1)?;
                generation.split('-').next()?.parse().ok()
            },
            is_hit: |answer| answer.header("cache-status").starts_with("listcache-l1; hit"),
        }
    }

    pub fn of_varnish(varnish: &'a Server, origin: &'a Server) -> Self {
        Self {
            address: &varnish.address,
            origin: &origin.address,
            purges: true,
            follows_links: false,
            revision_of_put: |said| said.parse().ok(),
            revision_of_page: |answer| answer.header("x-revision").parse().ok(),
            is_hit: |answer| answer.header("x-cache") == "hit",
        }
    }
}
