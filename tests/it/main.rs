//! Tests against real processes: one binary, a file a topic.

mod support;

mod catalogue;
mod coherence;
mod command_line;
mod config_files;
mod definitions;
mod documents;
mod faults;
mod fills;
mod http_cursors;
mod http_events;
mod http_names;
mod http_operations;
mod http_pages;
mod http_writes;
mod killed_writers;
mod layers;
mod names_on_the_wire;
mod scheduling;
mod sql_servers;
mod store_announcements;
mod store_connections;
mod store_delete;
mod store_due;
mod store_generations;
mod store_leases;
mod store_names;
mod store_publish;
mod store_start;
mod storefront;
mod turns;
mod two_nodes;
