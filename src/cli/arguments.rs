//! The arguments of the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use super::warm_options::WarmOptions;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "listcache",
    version,
    about = "Sorted product listings, kept in Redis Streams and served page by page over HTTP",
    after_help = "\
Configuration: --config FILE, else LISTCACHE_CONFIG, else ./listcache.toml. A flag wins over the environment, which \
wins over the file. Every key may be given as LISTCACHE_<SECTION>__<KEY>, such as LISTCACHE_REDIS__URL.
Exit codes: 0 done, 1 failed, 2 done in part (warm, export, load).

Examples:
  listcache demo                            a sample shop at http://127.0.0.1:8080
  listcache check-config                    every error of the file at once
  listcache serve --listen 0.0.0.0:8080     on all addresses, as in production"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve listings over HTTP until SIGTERM or SIGINT
    #[command(after_help = "\
The first line on stdout is `listening on http://ADDRESS` (`https://` with TLS), with the real port where the configured one is 0.
Logs go to stderr: text on a terminal, JSON lines elsewhere; RUST_LOG filters them (RUST_LOG=listcache=debug,warn).
On SIGTERM or SIGINT /health/ready answers 503, running requests and refreshes end, then the program ends with 0. A \
second signal ends it at once. SIGHUP reads the configuration again: a bad one changes nothing.

Examples:
  listcache serve
  listcache serve --config shop.toml --listen 127.0.0.1:0
  LISTCACHE_TOKEN_FILE=/run/secrets/token listcache serve --redis rediss://cache")]
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Address and port to listen on, instead of http.listen
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// Address of Redis, instead of redis.url: redis:, rediss:, unix: or `private`
        #[arg(long, value_name = "URL")]
        redis: Option<String>,
    },

    /// Run a sample shop: its own redis-server, a real catalogue, a storefront page
    #[command(after_help = "\
Stays in the foreground; nothing is left behind when it ends. The admin token is LISTCACHE_TOKEN, or a random one that is \
printed. Any name may be pushed.

Examples:
  listcache demo
  listcache demo --listen 127.0.0.1:0 --redis redis://127.0.0.1:6379")]
    Demo {
        /// Address and port to listen on [default: 127.0.0.1:8080]
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// A Redis to use instead of a private redis-server
        #[arg(long, value_name = "URL")]
        redis: Option<String>,
    },

    /// Refresh listings before they are asked for
    #[command(after_help = "\
Globs match names, such as `category:*`. A name is warmed if it fits any --include (without one, every name) and no --exclude.
[warm] in the configuration has the defaults of these flags.
A warm-up is a job. The same command, run again within an hour after it was killed or stopped, goes on where it was; several that run at once share the work. --anew begins from the start.
On SIGTERM or SIGINT no further refresh begins, running ones end, and the command says how far it came; a second signal ends it at once.
Exit codes: 0 all are warm, 2 some are (or it was stopped, or its time was over), 1 none could be.

Examples:
  listcache warm --dry-run                  its size and its time, without writing anything
  listcache warm --skip-fresh --concurrency 8
  listcache warm --include 'category:*' --exclude '*SEASONAL*' --rate 50
  listcache warm --popularity orders.csv    best sellers come first
  listcache warm --variants all --variant currency=EUR,USD
  listcache warm --concurrency 32 --max-origin-latency 100ms --time-budget 20m --verify")]
    Warm {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        options: WarmOptions,
    },

    /// Push a file straight into Redis: one listing, or all of an export
    #[command(
        allow_missing_positional = true,
        after_help = "\
With NAME the file is one listing. The end of its name is its format: .ndjson or .jsonl (an item a line), .json (an array), each \
with or without .gz. Items keep the file's order and their bytes.
Without NAME the file is one that `listcache export` wrote, with or without .gz: all its listings are pushed, with their sorts and the \
ids of their items. Nothing is pushed unless the file is whole; listings that are there are replaced.
pushed.names must allow the names. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.
Exit codes: 0 all is loaded, 2 a part of an export is (the others are named), 1 nothing is.

Examples:
  listcache load promo:summer summer.ndjson
  listcache load promo:summer summer.json.gz --sort price --id-field sku
  listcache load listings.ndjson"
    )]
    Load {
        /// The listing's name; left out for an export
        name: Option<String>,
        /// The file
        #[arg(required = true)]
        file: PathBuf,
        /// The sort under which it is kept
        #[arg(long, value_name = "S", requires = "name")]
        sort: Option<String>,
        /// The member that is an item's id
        #[arg(long, value_name = "F", default_value = "id", requires = "name")]
        id_field: String,
        /// Accept a listing without items, or with fewer than `min_items` and `pushed.max_shrink` allow
        #[arg(long)]
        accept_shrink: bool,
    },

    /// Write pushed listings to stdout, for `load`: a backup, or a move to another layout
    #[command(after_help = "\
GLOB matches names, such as `promo:*`. The file holds each pushed listing whole, as it is at one moment: all sorts, every item's id and \
JSON. Listings with an origin are left out: they refill by themselves. stderr says how many listings were written, and names those that \
could not be.
--layout 1 reads what version 0.1 of listcache has kept under the prefix. It writes nothing to Redis, needs the rights +hmget, +xrange and \
+zrange only, and a replica will do.
The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.
Exit codes: 0 all are written, 2 some are, 1 none is.

Examples:
  listcache export '*' > listings.ndjson
  listcache export --layout 1 '*' > listings.ndjson
  listcache export 'promo:*' | gzip > promo.ndjson.gz
  listcache load listings.ndjson            puts them back")]
    Export {
        /// A glob of names
        glob: String,
        /// Read the keys of this layout, instead of the one that this version writes
        #[arg(long, value_name = "N")]
        layout: Option<u32>,
    },

    /// Give the prefix to this version's layout, or back to an older one
    #[command(after_help = "\
A service starts only if its prefix has its layout. This command gives the prefix, redis.prefix, to another one; docs/upgrading.md says when. \
No listing is touched: keys of several layouts lie beside each other. It refuses while services of the layout before still run: they \
would take pushes that are lost then.
The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache claim                           for the layout of this version
  listcache claim --layout 1                back to version 0.1")]
    Claim {
        /// The layout [default: that of this version]
        #[arg(long, value_name = "N")]
        layout: Option<u32>,
        /// Do it although processes of the layout before still run
        #[arg(long)]
        while_running: bool,
    },

    /// Remove the keys of a layout that the prefix no longer has
    #[command(after_help = "\
After a move to another layout, when there is no way back to take. Most old keys expire by themselves in time; a few never do. Every key \
that begins with the prefix and the layout's number is unlinked, found by SCAN, which looks at all keys of the server a thousand at a \
time. The user needs +scan. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache remove --layout 1 --dry-run     how many keys there are
  listcache remove --layout 1")]
    Remove {
        /// The layout
        #[arg(long, value_name = "N")]
        layout: u32,
        /// Remove nothing; count
        #[arg(long)]
        dry_run: bool,
    },

    /// Tell that items have changed: exactly the listings that hold them follow
    #[command(after_help = "\
FILE has one change, an array of changes, or a change a line: {\"id\":48713}, {\"id\":48713,\"gone\":true}, {\"listings\":\"category:*\"}; \
`-` is stdin. Without --file each ID is an item that has changed. A running service works the changes off. The configuration is that of \
LISTCACHE_CONFIG, else ./listcache.toml.
Exit codes: 0 all are recorded, and worked off where --wait is given; 2 not all are worked off yet; 1 none is recorded.

Examples:
  listcache changes 48713 1022
  listcache changes --wait 30s 48713        and print what became of it
  listcache changes --file changes.ndjson")]
    Changes {
        /// Ids of items
        #[arg(value_name = "ID", required_unless_present = "file")]
        ids: Vec<String>,
        /// A file of changes
        #[arg(long, value_name = "FILE", conflicts_with = "ids")]
        file: Option<PathBuf>,
        /// Wait so long until they are worked off
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
    },

    /// Show the state of a listing in Redis
    #[command(after_help = "\
The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache inspect category:BREAD
  listcache inspect category:BREAD --sort price --json
  listcache inspect category:BREAD --chunk 0")]
    Inspect {
        /// The listing's name
        name: String,
        /// Its sort, if not the default one
        #[arg(long, value_name = "S")]
        sort: Option<String>,
        /// Print the items of one chunk instead, counted from 0: an id and its JSON a line
        #[arg(long, value_name = "N")]
        chunk: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Have the configured CDNs delete pages
    #[command(after_help = "\
Globs match names of listings that are kept, such as `category:*`; `*` stands for all pages, whether or not their listings are kept. The
CDNs are those of [cdn.<name>]. Services purge by themselves when listings change: this is for what has changed otherwise, such as the
shop's own pages with these tags. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.
Exit codes: 0 all CDNs have purged, 2 some have, 1 none has.

Examples:
  listcache purge category:BREAD
  listcache purge '*'")]
    Purge {
        /// A glob of names
        glob: String,
    },

    /// Pause refreshing for an outage: listings live on and are served as they are
    #[command(after_help = "\
Globs match names, such as `category:*`. All nodes know of the freeze within two seconds. A listing that was never filled is
still filled on demand. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache freeze 'category:*' --for 8h
  listcache thaw 'category:*'")]
    Freeze {
        /// A glob of names
        glob: String,
        /// How long the freeze lasts
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        period: Duration,
    },

    /// End a freeze
    #[command(after_help = "\
Give the glob as it was frozen (`listcache freezes` shows it), or the name that was rolled back. Stale listings are refreshed
when they are read or due.

Examples:
  listcache thaw 'category:*'
  listcache thaw category:BREAD             after a rollback of that name")]
    Thaw {
        /// The glob that was frozen
        glob: String,
    },

    /// List the freezes, and when they end
    #[command(after_help = "\
A rollback freezes too. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache freezes
  listcache freezes --json")]
    Freezes {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Make the generation before the current one current again
    #[command(after_help = "\
Use it when wrong data was published. All listings of the name are rolled back, each under a new generation; those
without an older generation stay as they are. A second rollback goes back further, never to
the generation that the first has undone. The origin still has the wrong data, most likely: the name is frozen for
--hold, and `listcache thaw NAME` ends that. The configuration is that of LISTCACHE_CONFIG, else ./listcache.toml.

Examples:
  listcache rollback category:BREAD
  listcache rollback category:BREAD --hold 8h")]
    Rollback {
        /// The listing's name
        name: String,
        /// How long the name is frozen; `0s`: not at all
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        hold: Duration,
    },

    /// Check the configuration: every error at once, with its path
    #[command(after_help = "\
Reads the file and the environment; Redis is not asked, and origins only with --origins: then each definition's queries are run for
the first of its names, once for each value of its variants, so that a missing table, column, placeholder or file is named before the
service meets it. Exit codes: 0 if all is good, else 1.

Examples:
  listcache check-config
  listcache check-config --config shop.toml
  listcache check-config --origins          what each origin has for each definition")]
    CheckConfig {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Ask the origins too
        #[arg(long)]
        origins: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
