//! The rights of a Redis user: which the program needs, what it says where one is missing, and what happens where one is taken
//! away while it runs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use listcache::{
    store::{ConnectError, Heard, Store, StoreError},
    telemetry::{Metrics, RedisCode},
};
use reqwest::Method;
use serde_json::json;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
    store::{connect, finished, listing, moved, options, policy, publish, subscribe},
};

const PREFIX: &str = "listcache";

/// The words of the rule in the documentation, after keys and channel.
fn documented() -> Vec<&'static str> {
    let document = include_str!("../../docs/redis-layout.md");
    let (_, rule) = document.split_once("ACL SETUSER listcache on ").unwrap();
    let (rule, _) = rule.split_once("```").unwrap();
    let words: Vec<_> = rule.split_whitespace().filter(|word| *word != "\\").collect();
    assert_eq!(words[..3], [">PASSWORD", "~listcache:*", "&listcache:2:announcements"]);
    words[3..].to_vec()
}

/// The files of a folder and its rooms, but for the simulated Redis and what a running service never does.
fn source_files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true if path.ends_with("simulated") || path.ends_with("moving") => Vec::new(),
        true => source_files(&path, extension),
        false => vec![path],
    });
    files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The first texts in quotes after each mark.
fn quoted_after<'a>(text: &'a str, mark: &'a str, quote: char) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.split(mark).skip(1).filter_map(move |rest| {
        let rest = rest.trim_start().trim_start_matches('b');
        let mut parts = rest.strip_prefix(quote)?.split(quote);
        let (command, between, argument) = (parts.next()?, parts.next()?, parts.next().unwrap_or(""));
        let is_next = [")", ".arg(", ",", "b"]
            .iter()
            .any(|next| between.trim().ends_with(next));
        Some((command, if is_next { argument } else { "" }))
    })
}

/// Every command that the sources send and that scripts call, as ACL names them.
fn commands_in_use() -> BTreeSet<String> {
    let (mut found, store) = (BTreeSet::new(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"));
    let mut add = |command: &str, argument: &str| {
        let is_command = !command.is_empty() && command.bytes().all(|byte| byte.is_ascii_uppercase());
        let with_subcommand = ["SCRIPT", "CLIENT", "XINFO", "MEMORY", "CONFIG"].contains(&command);
        if is_command {
            let rule = if with_subcommand {
                format!("{command}|{argument}")
            } else {
                command.to_owned()
            };
            found.insert(rule.to_lowercase());
        }
    };
    for path in source_files(&store, "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for mark in ["cmd(", "argument(", "call(&[", "vec![&"] {
            quoted_after(code, mark, '"').for_each(|(command, argument)| add(command, argument));
        }
    }
    for path in source_files(&store, "lua") {
        let text = fs::read_to_string(&path).unwrap();
        for mark in ["redis.call(", "redis.pcall("] {
            quoted_after(&text, mark, '\'').for_each(|(command, _)| add(command, ""));
        }
    }
    // The crate's own call.
    add("SUBSCRIBE", "");
    // No user needs a right for these: the greeting; only where another database is chosen; for warnings only.
    for other in ["hello", "select", "config|get"] {
        assert!(found.remove(other), "{other} is not in use: {found:?}");
    }
    // An option of XADD.
    found.remove("nomkstream");
    found
}

#[test]
fn the_documented_rule_is_the_commands_in_use() {
    let documented: BTreeSet<String> = documented()
        .iter()
        .map(|word| word.trim_start_matches('+').to_owned())
        .collect();
    assert_eq!(documented, commands_in_use());
}

/// Makes a user who has these rights only.
fn user(redis: &RedisServer, prefix: &str, rights: &[&str]) -> String {
    let (keys, channel) = (format!("~{prefix}:*"), format!("&{prefix}:2:announcements"));
    let mut rule = vec!["ACL", "SETUSER", "app", "reset", "on", ">pass", &keys, &channel];
    rule.extend(rights);
    assert_eq!(redis.cli(&rule), "OK");
    format!("redis+unix://{}?user=app&pass=pass", redis.socket().display())
}

async fn refused(redis: &RedisServer, url: &str) -> Vec<String> {
    match Store::connect(options(url), Arc::new(Metrics::new())).await {
        Err(ConnectError::MissingRights { missing, user, .. }) => {
            assert_eq!(user, "app");
            missing
        }
        other => panic!("{other:?}; {}", redis.cli(&["ACL", "LIST"])),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named_at_the_start() {
    let redis = RedisServer::start();
    let rights = documented();
    let url = user(&redis, "t", &rights);
    connect(&url).await;
    for missing in &rights {
        let others: Vec<_> = rights.iter().copied().filter(|right| right != missing).collect();
        user(&redis, "t", &others);
        match *missing {
            // The program does without.
            "+info" | "+client|reply" => drop(connect(&url).await),
            needed => assert_eq!(refused(&redis, &url).await, [needed]),
        }
    }
    // Several at once, and what is no command.
    user(&redis, "t", &[&rights[..], &["-publish", "-copy"]].concat());
    assert_eq!(refused(&redis, &url).await, ["+copy", "+publish"]);
    user(
        &redis,
        "t",
        &[&rights[..], &["resetchannels", "&t:announcements"]].concat(),
    );
    assert_eq!(refused(&redis, &url).await, ["&t:2:announcements"]);
    user(&redis, "t", &[&rights[..], &["resetkeys", "~other:*"]].concat());
    let error = Store::connect(options(&url), Arc::new(Metrics::new()))
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.ends_with("user `app` needs; run: ACL SETUSER app ~t:*"), "{said}");
    assert_eq!(
        redis.cli(&["DBSIZE"]),
        "1",
        "a dry turn leaves nothing but what the first start has claimed"
    );
}

/// What others can see of a listing: its head, and the log.
fn state(redis: &RedisServer) -> Vec<String> {
    let script = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do
        if string.find(key, ':head:') or string.find(key, ':log') then all[#all + 1] = key .. ' ' .. cjson.encode(
        redis.call('TYPE', key).ok == 'hash' and redis.call('HGETALL', key) or redis.call('XRANGE', key, '-', '+')) end end
        table.sort(all) return all";
    redis.cli_lines(&["EVAL", script, "0"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_moves_no_head_without_its_announcement() {
    let redis = RedisServer::start();
    let rights = documented();
    let url = user(&redis, "t", &rights);
    let store = connect(&url).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 5).await;
    let (mut refusals, mut others) = (0, 0);
    let channel = ["resetchannels"];
    for taken in rights.iter().filter(|right| **right != "+evalsha").chain(&channel) {
        let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
        let next = finished(&store, &shoes, &grant, 5).await;
        let before = state(&redis);
        let less = taken.replacen('+', "-", 1);
        redis.cli(&["ACL", "SETUSER", "app", &less]);
        let published = store.writes.publish(next, &policy(), None, None).await;
        let deleted = store
            .writes
            .delete(&[listing("other/price")], &policy())
            .await
            .map(drop);
        let after = state(&redis);
        user(&redis, "t", &rights);
        match published {
            Ok(published) => {
                moved(published);
                others += 1;
            }
            Err(StoreError::Refusing { code, sentence, .. }) => {
                assert_eq!(code, RedisCode::NoPerm, "{taken}: {sentence}");
                let heads = |lines: &[String]| -> Vec<String> {
                    lines.iter().filter(|line| line.contains("shoes")).cloned().collect()
                };
                assert_eq!(heads(&after), heads(&before), "{taken} was taken away");
                refusals += 1;
            }
            Err(other) => panic!("{taken}: {other:?}"),
        }
        if deleted.is_err() {
            let of_deleted = |lines: &[String]| -> Vec<String> {
                lines
                    .iter()
                    .filter(|line| line.contains("other/price"))
                    .cloned()
                    .collect()
            };
            assert_eq!(of_deleted(&after), of_deleted(&before), "{taken} was taken away");
        }
    }
    assert!(refusals >= 9 && others >= 5, "{refusals} {others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_others_in_the_way_do_not_keep_a_head_from_being_announced() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 5).await;
    let mut heard = subscribe(&store).await;
    for key in ["log", "names", "due", "fail:shoes"] {
        let found = redis.cli_lines(&["--scan", "--pattern", "t:2:*:head:*"]);
        let key = format!("{}:{key}", found[0].split(":head:").next().unwrap());
        redis.cli(&["SET", &key, "a value of somebody else"]);
        let head = publish(&store, &shoes, 5).await;
        let told = async {
            loop {
                match heard.recv().await.unwrap() {
                    Heard::Announcement(told) if told.head.id() == head.generation.id => break,
                    // The log was another's for a moment: every head is read again.
                    Heard::NewEpoch => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told)
            .await
            .expect("nothing is heard");
        redis.cli(&["SET", &key, "another"]);
        store
            .writes
            .delete(std::slice::from_ref(&shoes), &policy())
            .await
            .unwrap();
        publish(&store, &shoes, 5).await;
    }
}

fn run(directory: &Path, arguments: &[&str], redis: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("LISTCACHE_REDIS__URL", redis);
    command.output().unwrap()
}

/// The whole program, with the rule and nothing more: Redis's own log of refusals stays empty.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_runs_with_the_documented_rights_and_nothing_more() {
    let redis = RedisServer::start();
    let url = user(&redis, PREFIX, &documented());
    let shop = Shop::new().await;
    let config = shop.config(
        "unix:///nowhere",
        "[defaults]\npin_for = \"3m\"\ncoalesce_for = \"100ms\"\n",
    );
    let environment = [
        ("LISTCACHE_TOKEN", crate::support::service::TOKEN),
        ("LISTCACHE_REDIS__URL", &url),
    ];
    let service = Service::start_with(&config, &environment);
    let ok = async |method: Method, path: &str| {
        let request = service.admin(method, path).json(&json!([{"id": 1}]));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.text().await.unwrap()
    };
    for path in [
        "/v1/listings/category:BREAD?size=10",
        "/v1/listings/category:BREAD?sort=in_stock&order=desc",
        "/v1/listings/short:BREAD",
    ] {
        let page: serde_json::Value = serde_json::from_str(&ok(Method::GET, path).await).unwrap();
        let generation = page["generation"].as_str().unwrap();
        ok(
            Method::GET,
            &format!(
                "{path}{}generation={generation}",
                if path.contains('?') { "&" } else { "?" }
            ),
        )
        .await;
    }
    for _ in 0..2 {
        ok(Method::PUT, "/v1/listings/promo:a").await;
        ok(Method::GET, "/v1/listings/promo:a").await;
        ok(Method::POST, "/v1/listings/category:BREAD/refresh?wait=true").await;
        ok(Method::POST, "/v1/listings/category:BREAD/refresh").await;
    }
    ok(Method::GET, "/v1/listings/category:BREAD/explain").await;
    ok(Method::GET, "/v1/listings").await;
    ok(Method::DELETE, "/v1/listings/promo:a").await;
    eventually(async || match service.metric("listcache_redis_subscribed").await {
        1.0 => Ok(()),
        deaf => Err(deaf),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("listcache.toml"), &config).unwrap();
    fs::write(directory.path().join("items.ndjson"), "{\"id\":1}\n").unwrap();
    for arguments in [
        &["load", "promo:b", "items.ndjson"][..],
        &["warm"],
        &["inspect", "category:BREAD"],
        &["rollback", "category:BREAD"],
        &["thaw", "category:BREAD"],
        &["freeze", "promo:*", "--for", "1h"],
    ] {
        let output = run(directory.path(), arguments, &url);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    // Long enough for what is told every few seconds.
    eventually(
        async || match redis.cli(&["ZCARD", "listcache:2:{14vy}:reads"]).as_str() {
            "0" => Err("no reads"),
            _ => Ok(()),
        },
    )
    .await;
    // The settings are asked for, for warnings only.
    let denied = redis.cli_lines(&["ACL", "LOG"]);
    let objects: BTreeSet<&String> = denied
        .iter()
        .zip(denied.iter().skip(1))
        .filter(|(name, _)| *name == "object")
        .map(|(_, object)| object)
        .collect();
    assert_eq!(objects.into_iter().collect::<Vec<_>>(), ["config|get"], "{denied:?}");
    assert_eq!(service.metric("listcache_redis_refused_total").await, 0.0);
}

/// A user without a channel's right is told at once, by the program itself.
#[test]
fn a_user_who_lacks_a_right_is_told_the_command_that_grants_it() {
    let redis = RedisServer::start();
    let url = user(&redis, PREFIX, &documented());
    redis.cli(&["ACL", "SETUSER", "app", "resetchannels"]);
    let output = run(redis.socket().parent().unwrap(), &["inspect", "x"], &url);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("run: ACL SETUSER app &listcache:2:announcements"),
        "{said}"
    );
}
