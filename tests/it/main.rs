//! Tests against real processes: one binary, a file a topic.

mod support;

mod catalogue;
mod coherence;
mod fills;
mod store_announcements;
mod store_connections;
mod store_delete;
mod store_due;
mod store_generations;
mod store_leases;
mod store_names;
mod store_publish;
mod store_start;
mod turns;
