//! nginx with proxy_cache in front of another server.

use super::{Server, nginx};
use crate::{Outcome, machine::Machine};

/// One copy for all that take gzip and one for the others, as `docs/edge/nginx.conf` has it; what is kept stays for the bench.
const HTTP: &str = r#"
proxy_cache_path DIRECTORY/cache levels=1:2 keys_zone=pages:32m max_size=2g inactive=1h use_temp_path=off;
map $http_accept_encoding $coding { default ""; "~*gzip" gzip; }
"#;

pub fn start(machine: &Machine, upstream: &str) -> Outcome<Server> {
    let http = format!("{HTTP}upstream origin {{ server {upstream}; keepalive 32; }}\n");
    nginx::start(machine, &http, |directory| {
        nginx::let_all_read(directory)?;
        Ok(r#"location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Accept-Encoding $coding;
            proxy_cache pages;
            proxy_cache_key "$request_uri $coding";
            proxy_ignore_headers Vary Cache-Control Expires;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
            proxy_cache_lock_age 6s;
            proxy_cache_lock_timeout 6s;
        }"#
        .to_owned())
    })
}
