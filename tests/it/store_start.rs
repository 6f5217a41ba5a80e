//! What a store says before it is used.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use listcache::{
    store::{ConnectError, PrivateServer, Store, StoreOptions},
    telemetry::Metrics,
};

use crate::support::{
    RedisServer, eventually,
    store::{connect, listing, options, publish},
};

async fn refused(options: StoreOptions) -> ConnectError {
    Store::connect(options, Arc::new(Metrics::new())).await.unwrap_err()
}

#[tokio::test]
async fn no_server_is_said_in_bounded_time() {
    let begun = Instant::now();
    let error = refused(options("unix:///nowhere/redis.sock")).await;
    assert!(matches!(error, ConnectError::NoServer { .. }), "{error:?}");
    assert_eq!(error.to_string(), "no redis server answers at /nowhere/redis.sock");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_said_in_bounded_time() {
    let redis = RedisServer::start();
    redis.pause();
    let begun = Instant::now();
    let error = refused(options(&redis.url())).await;
    assert!(matches!(error, ConnectError::NoServer { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_comes_up_a_moment_later_is_waited_for() {
    let mut redis = RedisServer::start();
    redis.kill();
    let url = redis.url();
    let (store, ()) = tokio::join!(connect(&url), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        redis.restart_empty();
    });
    assert!(store.is_up());
}

#[tokio::test]
async fn a_missing_or_wrong_password_is_said_without_showing_it() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let with = |password: &str| format!("redis+unix://{}?pass={password}", redis.socket().display());
    for url in [redis.url(), with("hunter2")] {
        let error = refused(options(&url)).await;
        assert!(matches!(error, ConnectError::WrongPassword { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
    assert!(connect(&with("right")).await.is_up());
}

#[tokio::test]
async fn another_partition_count_is_refused_naming_both() {
    let redis = RedisServer::start();
    connect(&redis.url()).await;
    connect(&redis.url()).await;
    redis.cli(&["HSET", "t:meta", "partitions", "16"]);
    let error = refused(options(&redis.url())).await;
    assert!(matches!(error, ConnectError::OtherLayout { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("16 partitions") && said.contains("with 64"), "{said}");

    redis.cli(&["HSET", "t:meta", "partitions", "64", "layout", "1"]);
    let said = refused(options(&redis.url())).await.to_string();
    assert!(said.contains("layout 1") && said.contains("layout 2"), "{said}");
    // Another prefix is another matter.
    crate::support::store::connect_with_prefix(&redis.url(), "other").await;
}

#[tokio::test]
async fn a_url_that_is_none_is_said() {
    for url in ["", "http://localhost", "redis://", "redis://localhost/x"] {
        let error = refused(options(url)).await;
        assert!(matches!(error, ConnectError::BadUrl(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn settings_that_may_not_be_read_are_no_obstacle() {
    let redis = RedisServer::start();
    redis.cli(&["ACL", "SETUSER", "default", "-config", "-info"]);
    assert!(connect(&redis.url()).await.is_up());
}

#[tokio::test]
async fn redis_time_is_known_from_the_start() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let now: u64 = redis.cli_lines(&["TIME"])[0].parse().unwrap();
    assert!(store.now().0.abs_diff(now * 1000) < 2000);
}

#[tokio::test]
async fn a_private_server_that_dies_is_started_again_and_lives_as_long_as_its_handle() {
    let server = PrivateServer::start().await.unwrap();
    let store = connect(&server.url()).await;
    publish(&store, &listing("shoes/price"), 3).await;
    let directory = server.url().strip_prefix("unix://").unwrap().replace("/redis.sock", "");
    assert!(Path::new(&directory).exists());
    let process = |id: u32| std::path::PathBuf::from(format!("/proc/{id}"));
    let first = server.process_id().unwrap();
    kill(first);
    // It is another, and takes what the first took.
    let second = eventually(async || match server.process_id() {
        Some(id) if id != first => Ok(id),
        same => Err(same),
    })
    .await;
    eventually(
        async || match store.draws.without_lease(listing("shoes/price").name(), 1).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        },
    )
    .await;
    publish(&store, &listing("shoes/price"), 3).await;
    let process = process(second);
    assert!(process.exists());
    drop(server);
    assert!(!process.exists());
    assert!(!Path::new(&directory).exists());
    eventually(async || if store.is_up() { Err("up") } else { Ok(()) }).await;
}

fn kill(process: u32) {
    let status = Command::new("kill").args(["-KILL", &process.to_string()]).status();
    assert!(status.unwrap().success());
}

const TOLD_TO_HOLD: &str = "LISTCACHE_TEST_HOLDS_PRIVATE_SERVER";

/// Not a test by itself: the process that the next one kills.
#[tokio::test]
async fn holds_a_private_server_if_told_to() {
    if std::env::var_os(TOLD_TO_HOLD).is_some() {
        let server = PrivateServer::start().await.unwrap();
        let mut told = None;
        loop {
            let id = server.process_id();
            if id != told {
                println!("\nholding {} {}", id.unwrap(), server.url());
                told = id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_private_server_ends_with_a_killed_process() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store_start::holds_a_private_server_if_told_to",
            "--nocapture",
        ])
        .env(TOLD_TO_HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut held = lines
        .map(Result::unwrap)
        .filter_map(|line| line.strip_prefix("holding ").map(str::to_owned));
    let first = held.next().unwrap();
    kill(first.split_once(' ').unwrap().0.parse().unwrap());
    // The one that is there in its place ends too.
    let second = held.next().unwrap();
    let (process, url) = second.split_once(' ').unwrap();
    let process = Path::new("/proc").join(process);
    assert!(process.exists());
    let socket = Path::new(url.strip_prefix("unix://").unwrap());

    holder.kill().unwrap();
    holder.wait().unwrap();
    // A process that ended but has no parent to wait for it has no command line.
    let runs = || std::fs::read(process.join("cmdline")).is_ok_and(|command| !command.is_empty());
    eventually(async || if runs() { Err("still runs") } else { Ok(()) }).await;
    eventually(async || {
        if socket.parent().unwrap().exists() {
            Err("still there")
        } else {
            Ok(())
        }
    })
    .await;
}
