//! The store on other servers than the distribution's: each behaviour is a test on each of them.
//!
//! `servers::redis_8` is the Redis 8, `servers::valkey_9` the Valkey 9 that `.ci/install test` fetches in the versions that
//! `tests/servers/requirements.txt` pins. Where one is missing its tests fail, and say so.

mod life;
mod pages;
mod sealing;

use crate::{
    deltas::Small,
    support::{RedisServer, ServerProgram, store::policy},
};

macro_rules! on_each_server {
    ($($of:ident::$behaviour:ident),+ $(,)?) => {
        on_each_server! { @distribution, Distribution, $($of::$behaviour)+ }
        on_each_server! { @redis_8, Redis8, $($of::$behaviour)+ }
        on_each_server! { @valkey_9, Valkey9, $($of::$behaviour)+ }
    };
    (@$server:ident, $program:ident, $($of:ident::$behaviour:ident)+) => {
        mod $server {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $behaviour() {
                    super::$of::$behaviour(crate::support::ServerProgram::$program).await;
                }
            )+
        }
    };
}

on_each_server! {
    life::the_server_has_the_version_in_its_name,
    life::a_deleted_listing_leaves_only_its_tombstone_and_is_filled_again,
    life::a_stream_that_was_evicted_is_missed_and_filled_again,
    life::a_restarted_server_is_filled_again,
    pages::pages_of_all_sizes_in_both_orders_are_cuts_of_one_listing,
    pages::a_walk_by_cursors_sees_its_generation_whatever_is_published,
    pages::a_delta_is_announced_confirmed_and_rolled_back,
    sealing::a_stream_of_one_node_is_small_once_it_is_sealed,
}

/// 40 items in chunks of four, filled by a refresh.
async fn small_shop(program: ServerProgram) -> Small {
    Small::on(RedisServer::of(program), 40, &["price"], policy()).await
}
