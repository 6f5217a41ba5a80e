//! The real binary: what it prints and how it exits.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::support::{RedisServer, service::Service};

/// A listing whose query does not name its parameter.
const SHOP: &str = "
    [origins.shop]
    kind = 'sql'
    url = 'sqlite:none.db'
    [[listings]]
    name = 'c:{category}'
    origin = 'shop'
    query = 'select id, price from products'
    sorts.price = { by = ['price'] }
    [pushed]
    names = ['promo:*']
";

/// The binary without any of this process's `LISTCACHE_` variables, in a directory of its own.
fn listcache(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LISTCACHE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").current_dir(dir).args(arguments);
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    listcache(dir, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, says: &str) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    let stream = if code == 0 { &out } else { &err };
    assert!(stream.contains(says), "no `{says}` in:\n{stream}");
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn help_names_every_command_and_gives_examples() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"]);
    check(&help, 0, "Examples:");
    for command in [
        "serve",
        "demo",
        "warm",
        "load",
        "export",
        "claim",
        "remove",
        "inspect",
        "freeze",
        "thaw",
        "freezes",
        "rollback",
        "check-config",
    ] {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{command}");
        let help = run(dir.path(), &[command, "--help"]);
        check(&help, 0, "Examples:");
        assert!(stdout(&help).contains(&format!("listcache {command}")), "{command}");
    }
    check(&run(dir.path(), &["--version"]), 0, env!("CARGO_PKG_VERSION"));
}

#[test]
fn help_of_each_command_names_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    for (command, flags) in [
        ("serve", &["--config", "--listen", "--redis"][..]),
        ("demo", &["--listen", "--redis"]),
        (
            "warm",
            &[
                "--config",
                "--include",
                "--exclude",
                "--order",
                "--popularity",
                "--concurrency",
                "--rate",
                "--skip-fresh",
                "--dry-run",
                "--progress",
            ],
        ),
        ("load", &["--sort", "--id-field", "--accept-shrink"]),
        ("export", &["--layout", "<GLOB>"]),
        ("claim", &["--layout", "--while-running"]),
        ("remove", &["--layout", "--dry-run"]),
        ("inspect", &["--sort", "--chunk", "--json"]),
        ("check-config", &["--config"]),
    ] {
        let help = stdout(&run(dir.path(), &[command, "--help"]));
        for flag in flags {
            assert!(help.contains(flag), "{command} {flag}");
        }
    }
}

#[test]
fn a_mistyped_command_line_exits_1() {
    let dir = tempfile::tempdir().unwrap();
    check(&run(dir.path(), &["serv"]), 1, "serve");
    check(&run(dir.path(), &["warm", "--concurrency", "0"]), 1, "--concurrency");
    check(
        &run(dir.path(), &["warm", "--include", "[a"]),
        1,
        "--include `[a` is no glob",
    );
    check(&run(dir.path(), &["load"]), 1, "<FILE>");
    check(&run(dir.path(), &["load", "promo:x"]), 1, "listcache load NAME FILE");
    check(
        &run(dir.path(), &["warm", "--popularity", "none.csv"]),
        1,
        "cannot read `none.csv`",
    );
}

#[test]
fn check_config_says_good_or_every_error() {
    let dir = tempfile::tempdir().unwrap();
    let full = ["check-config", "--config", &fixture("full.toml")];
    check(&run(dir.path(), &full), 1, "set LISTCACHE_HOOKS__SHOPIFY__SECRET or");
    let mut full = listcache(dir.path(), &full);
    full.env("LISTCACHE_HOOKS__SHOPIFY__SECRET", "a-secret-for-tests");
    check(
        &full.output().unwrap(),
        0,
        "full.toml: good (4 origins, 3 definitions, 7 sorts)",
    );
    check(
        &run(dir.path(), &["check-config"]),
        0,
        "no listcache.toml: the defaults",
    );

    // What is allowed and probably not meant.
    let earlier =
        "[defaults]\npinned_generations_max = 16\n".to_owned() + &fs::read_to_string(fixture("minimal.toml")).unwrap();
    fs::write(dir.path().join("earlier.toml"), earlier).unwrap();
    let warned = run(dir.path(), &["check-config", "--config", "earlier.toml"]);
    check(
        &warned,
        0,
        "warning: defaults.pinned_generations_max: ignored, replaced generations are bounded by pinned_bytes_max",
    );
    let bad = run(dir.path(), &["check-config", "--config", &fixture("bad/sorts.toml")]);
    check(&bad, 1, "10 errors in the configuration");
    let expected = fs::read_to_string(fixture("bad/sorts.expected")).unwrap();
    for line in expected.lines() {
        assert!(stderr(&bad).contains(line), "{line}");
    }
    assert!(bad.stdout.is_empty());
}

#[test]
fn the_file_is_the_flags_else_the_environments_else_the_one_here() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("listcache.toml"), "here = 1").unwrap();
    fs::write(dir.path().join("env.toml"), "env = 1").unwrap();
    fs::write(dir.path().join("flag.toml"), "flag = 1").unwrap();
    check(&run(dir.path(), &["check-config"]), 1, "here: unknown key");
    let mut by_environment = listcache(dir.path(), &["check-config"]);
    check(
        &by_environment.env("LISTCACHE_CONFIG", "env.toml").output().unwrap(),
        1,
        "env: unknown key",
    );
    let mut by_flag = listcache(dir.path(), &["check-config", "--config", "flag.toml"]);
    check(
        &by_flag.env("LISTCACHE_CONFIG", "env.toml").output().unwrap(),
        1,
        "flag: unknown key",
    );
    let absent = run(dir.path(), &["check-config", "--config", "absent.toml"]);
    check(&absent, 1, "absent.toml: cannot read the configuration file");
}

#[test]
fn an_unknown_variable_is_an_error_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        &["check-config"][..],
        &["serve"],
        &["warm"],
        &["demo"],
        &["inspect", "all"],
        &["load", "promo:x", "x.ndjson"],
    ] {
        let output = listcache(dir.path(), command)
            .env("LISTCACHE_REDIS_URL", "redis://127.0.0.1:1")
            .output()
            .unwrap();
        check(
            &output,
            1,
            "LISTCACHE_REDIS_URL: unknown variable; did you mean `LISTCACHE_REDIS__URL`?",
        );
    }
}

/// Kubernetes sets these for Services named `listcache` and `listcache-redis`; an image sets its version.
#[test]
fn variables_that_a_container_platform_sets_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    let output = listcache(dir.path(), &["check-config"])
        .env("LISTCACHE_SERVICE_HOST", "10.96.0.7")
        .env("LISTCACHE_SERVICE_PORT_HTTP", "8080")
        .env("LISTCACHE_PORT", "tcp://10.96.0.7:8080")
        .env("LISTCACHE_PORT_8080_TCP_ADDR", "10.96.0.7")
        .env("LISTCACHE_REDIS_PORT", "tcp://10.96.0.8:6379")
        .env("LISTCACHE_REDIS_PORT_6379_TCP_PROTO", "tcp")
        .env("LISTCACHE_VERSION", "0.1.0")
        .output()
        .unwrap();
    check(&output, 0, "good");
}

#[test]
fn a_stream_that_cannot_be_written_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bad.toml"), "unknown = 1").unwrap();
    let (nobody, closed) = std::io::pipe().unwrap();
    drop(nobody);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (command, code) in [
        (&["--help"][..], 0),
        (&["check-config", "--config", "bad.toml"], 1),
        (&["serve", "--config", "bad.toml"], 1),
        (&["inspect", "all"], 1),
        (&["no-such-command"], 1),
    ] {
        let to_a_full_disk = listcache(dir.path(), command)
            .env("LISTCACHE_REDIS__URL", "private")
            .stdout(full.try_clone().unwrap())
            .stderr(full.try_clone().unwrap())
            .status();
        assert_eq!(to_a_full_disk.unwrap().code(), Some(code), "{command:?}");
        let to_nobody = listcache(dir.path(), command)
            .env("LISTCACHE_REDIS__URL", "private")
            .stdout(closed.try_clone().unwrap())
            .stderr(closed.try_clone().unwrap())
            .status();
        assert_eq!(to_nobody.unwrap().code(), Some(code), "{command:?}");
    }
}

/// A reader that is gone has read what it wanted; a disk that is full has not got it.
#[test]
fn a_command_whose_output_cannot_be_written_fails() {
    let redis = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("listcache.toml"), SHOP).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [
        &["check-config"][..],
        &["inspect", "c:A"],
        &["inspect", "c:A", "--json"],
        &["freezes"],
        &["freezes", "--json"],
        &["warm", "--dry-run"],
    ] {
        let mut command = listcache(dir.path(), arguments);
        command.env("LISTCACHE_REDIS__URL", redis.url());
        let written = command.output().unwrap();
        assert_eq!(written.status.code(), Some(0), "{arguments:?}: {}", stderr(&written));
        let unwritten = command.stdout(full.try_clone().unwrap()).output().unwrap();
        check(&unwritten, 1, "cannot write the output: No space left on device");
        let (nobody, closed) = std::io::pipe().unwrap();
        drop(nobody);
        let unread = command.stdout(closed).output().unwrap();
        assert_eq!(unread.status.code(), Some(0), "{arguments:?}: {}", stderr(&unread));
    }
}

#[test]
fn messages_name_what_can_be_done() {
    let redis = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("listcache.toml"), SHOP).unwrap();
    fs::write(dir.path().join("x.ndjson"), "{\"id\":1}\n").unwrap();
    for (arguments, code, says) in [
        (
            &["freeze", "", "--for", "1h"][..],
            1,
            "glob: is empty, and matches no name",
        ),
        (
            &["load", "other", "x.ndjson"],
            1,
            "no glob of `pushed.names` matches it",
        ),
        (
            &["inspect", "c:A", "--sort", "nope"],
            1,
            "sort: unknown; this listing has price",
        ),
        (
            &["check-config"],
            0,
            "warning: listings[0] (c:{category}): query does not name `:category`",
        ),
    ] {
        let mut command = listcache(dir.path(), arguments);
        check(
            &command.env("LISTCACHE_REDIS__URL", redis.url()).output().unwrap(),
            code,
            says,
        );
    }
    for (variable, value, says) in [
        (
            "LISTCACHE_REDIS__URL",
            "redis+unix://user:hunter2@/run/redis.sock",
            "unix:///PATH?user=…&pass=…",
        ),
        (
            "LISTCACHE_ORIGINS__SHPO__URL",
            "sqlite:shop.db",
            "origins.shpo: LISTCACHE_ORIGINS__SHPO__URL sets a key of it, and the file has no [origins.shpo]",
        ),
    ] {
        let output = listcache(dir.path(), &["check-config"])
            .env(variable, value)
            .output()
            .unwrap();
        check(&output, 1, says);
        assert!(!stderr(&output).contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_listings_says_so_once() {
    let redis = RedisServer::start();
    let service = Service::start(&format!("[redis]\nurl = '{}'\n", redis.url()));
    assert!(service.logs("no listing is declared"));
    assert_eq!(service.log().matches("no listing is declared").count(), 1);
}

#[test]
fn a_private_redis_is_nothing_for_another_process() {
    let dir = tempfile::tempdir().unwrap();
    for command in [&["warm"][..], &["inspect", "all"], &["load", "promo:x", "x.ndjson"]] {
        let output = listcache(dir.path(), command)
            .env("LISTCACHE_REDIS__URL", "private")
            .output()
            .unwrap();
        check(&output, 1, "redis.url is \"private\"");
    }
}

#[test]
fn redis_away_at_start_is_a_clear_error_within_a_bounded_time() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("nobody.sock");
    let url = format!("unix://{}", socket.display());
    for command in [
        &["serve", "--listen", "127.0.0.1:0", "--redis", &url][..],
        &["warm"],
        &["inspect", "all"],
    ] {
        let begun = Instant::now();
        let output = listcache(dir.path(), command)
            .env("LISTCACHE_REDIS__URL", &url)
            .output()
            .unwrap();
        check(&output, 1, "no redis server answers");
        assert!(stderr(&output).contains("nobody.sock"), "{}", stderr(&output));
        assert_eq!(stderr(&output).matches("os error").count(), 1, "{}", stderr(&output));
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert!(output.stdout.is_empty());
    }
}
