//! Moving: pushed listings leave one layout as a file and come back in another, and a prefix changes hands.
//!
//! `fixtures/layout-1.ndjson` is a server that version 0.1 filled with layout 1, as commands. These tests hold whichever layout the program has now.

mod fixture;
mod program;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    process::Stdio,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use self::{
    fixture::{DAMAGED, Fixture, Listing},
    program::{Program, check, stderr, stdout},
};
use crate::support::{RedisServer, eventually, service::Service};

/// The listings of an export: key, and the lines of its items.
fn exported(file: &str) -> Vec<(String, Vec<String>)> {
    let mut listings: Vec<(String, Vec<String>)> = Vec::new();
    for line in file.lines() {
        if line.starts_with('[') {
            listings.last_mut().unwrap().1.push(line.to_owned());
            continue;
        }
        let mark: Value = serde_json::from_str(line).unwrap();
        if let (Some(name), Some(sort)) = (mark["name"].as_str(), mark["sort"].as_str()) {
            listings.push((format!("{name}/{sort}"), Vec::new()));
        } else if let Some(broken) = mark["broken"].as_str() {
            listings.pop_if(|(under_way, _)| under_way == broken);
        }
    }
    listings.sort();
    listings
}

/// Every page of every listing has the items that version 0.1 was given, byte for byte.
async fn assert_served(service: &Service, listings: &[Listing]) {
    for listing in listings {
        let path = format!("/v1/listings/{}?sort={}&size=100", listing.encoded_name, listing.sort);
        let answer = service.request(reqwest::Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let page = answer.text().await.unwrap();
        let expected: Vec<&str> = listing.items.iter().map(|(_, json)| json.as_str()).collect();
        let items = format!("\"items\":[{}]}}", expected.join(","));
        assert!(page.ends_with(&items), "{path}: {page}, expected {items}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_layout_1_holds_is_exported_with_rights_to_read_only_and_loaded_elsewhere() {
    let (old, new, fixture) = (RedisServer::start(), RedisServer::start(), Fixture::read());
    fixture.replay(&old);
    let rights = ["%R~shop:*", "resetchannels", "+hmget", "+xrange", "+zrange"];
    let rule = [&["ACL", "SETUSER", "reader", "reset", "on", ">pass"][..], &rights].concat();
    assert_eq!(old.cli(&rule), "OK");
    let before = fixture::all_keys(&old);
    assert_eq!(old.cli(&["CONFIG", "RESETSTAT"]), "OK");

    let reading = Program::at(&format!(
        "redis+unix://{}?user=reader&pass=pass",
        old.socket().display()
    ));
    let export = reading.run(&["export", "--layout", "1", "*"]);
    // Some listings are damaged: they are named, and the rest is there.
    assert_eq!(export.status.code(), Some(2), "{}", stderr(&export));
    let says = stderr(&export);
    assert!(
        says.contains("exported 6 listings with 71 items; left out 1 listing with an origin, and 1 deleted or expired"),
        "{says}"
    );
    for (listing, why) in DAMAGED {
        assert!(
            says.contains(&format!("not exported: {listing}: ")) && says.contains(why),
            "{listing}: {says}"
        );
    }
    assert!(says.contains("5 listings could not be exported"), "{says}");
    let file = stdout(&export);
    let expected: Vec<_> = fixture.listings().iter().map(Listing::as_exported).collect();
    assert_eq!(exported(&file), expected);

    // Nothing was written, and nothing else was asked.
    let stats = old.cli(&["INFO", "commandstats"]);
    let asked = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
    for command in asked.filter(|command| !command.starts_with("config")) {
        assert!(
            ["hello", "client|reply", "hmget", "xrange", "zrange", "info"].contains(&command),
            "{stats}"
        );
    }
    assert_eq!(fixture::all_keys(&old), before);

    // Each load is the same; a packed one too.
    let program = Program::at(&new.url());
    program.write("listings.ndjson", file.as_bytes());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(file.as_bytes()).unwrap();
    program.write("listings.ndjson.gz", &packed.finish().unwrap());
    for name in ["listings.ndjson", "listings.ndjson.gz"] {
        let load = program.run(&["load", name]);
        assert_eq!(load.status.code(), Some(2), "{}", stderr(&load));
        check(
            &load,
            &["is whole: 6 listings, 71 items", "loaded 6 listings"],
            &["not in the file: promo:torn/default: "],
        );
    }
    let service = Service::start(&program.config());
    assert_served(&service, &fixture.listings()).await;
    // The ids are on no page: another export tells them.
    let again = program.run(&["export", "promo:*"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(exported(&stdout(&again)), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_moves_to_another_layout_and_old_keys_go_when_asked() {
    let (redis, fixture) = (RedisServer::start(), Fixture::read());
    fixture.replay(&redis);
    let program = Program::at(&redis.url());
    // Another layout than this version's, whichever that is.
    redis.cli(&["HSET", "shop:meta", "layout", "99"]);
    let refused = program.run(&["serve"]);
    check(
        &refused,
        &[],
        &[
            "prefix `shop` holds layout 99 with 64 partitions",
            "`listcache claim --layout",
            "docs/upgrading.md",
        ],
    );
    check(
        &program.run(&["remove", "--layout", "99"]),
        &[],
        &["its keys are in use"],
    );
    check(
        &program.run(&["claim", "--layout", "98"]),
        &[],
        &["--layout 98: this version has layout"],
    );
    check(
        &program.run(&["export", "--layout", "98", "*"]),
        &[],
        &["--layout 98: this version reads the layouts 1 to"],
    );

    let export = program.run(&["export", "--layout", "1", "promo:*"]);
    program.write("listings.ndjson", &export.stdout);
    let follower = follow(&redis, "shop:99:announcements");
    check(
        &program.run(&["claim"]),
        &[],
        &["still run with layout 99 of this prefix: 1 ", "--while-running"],
    );
    drop(follower);
    eventually(
        async || match redis.cli(&["PUBSUB", "NUMSUB", "shop:99:announcements"]) {
            counted if counted.ends_with('0') => Ok(()),
            counted => Err(counted),
        },
    )
    .await;
    let claim = program.run(&["claim"]);
    check(&claim, &["prefix `shop` has layout ", "(before: 99)"], &[]);
    let layout = stdout(&claim).split_whitespace().nth(4).unwrap().to_owned();
    check(&program.run(&["claim"]), &["already"], &[]);

    assert_eq!(program.run(&["load", "listings.ndjson"]).status.code(), Some(2));
    let service = Service::start(&program.config());
    assert_served(&service, &fixture.listings()).await;

    // Keys of a layout, and their like.
    for key in [
        "shop:99:{07}:head:a",
        "shop:99:frozen",
        "shop:999:a",
        "shop:9",
        "shopper:99:a",
        "a:shop:99:b",
    ] {
        redis.cli(&["SET", key, "1"]);
    }
    check(
        &program.run(&["remove", "--layout", "99", "--dry-run"]),
        &["would remove 2 keys of layout 99"],
        &[],
    );
    check(
        &program.run(&["remove", "--layout", "99"]),
        &["removed 2 keys of layout 99"],
        &[],
    );
    for key in ["shop:999:a", "shop:9", "shopper:99:a", "a:shop:99:b"] {
        assert_eq!(redis.cli(&["GET", key]), "1", "{key}");
    }
    let removal = program.run(&["remove", "--layout", "1"]);
    if layout == "1" {
        check(&removal, &[], &["its keys are in use"]);
    } else {
        check(&removal, &["removed ", " of layout 1 of prefix `shop`"], &[]);
        assert_eq!(redis.cli(&["KEYS", "shop:1:*"]), "");
    }
    assert_served(&service, &fixture.listings()).await;
}

/// Subscribes, until it is dropped.
fn follow(redis: &RedisServer, channel: &str) -> UnixStream {
    let mut wire = UnixStream::connect(redis.socket()).unwrap();
    write!(wire, "SUBSCRIBE {channel}\r\n").unwrap();
    assert_ne!(wire.read(&mut [0; 1024]).unwrap(), 0);
    wire
}

#[test]
fn a_listing_that_is_replaced_and_lost_meanwhile_is_exported_anew() {
    let redis = RedisServer::start();
    let program = Program::at(&redis.url());
    // Far more than the buffers between the program and this test: it cannot have been read to its end before we read.
    let long = "x".repeat(1000);
    let items: String = (0..2000)
        .map(|id| format!("{{\"id\":{id},\"long\":\"{long}\"}}\n"))
        .collect();
    program.write("large.ndjson", items.as_bytes());
    program.write("small.ndjson", b"{\"id\":1}\n{\"id\":2}\n");
    check(
        &program.run(&["load", "promo:large", "large.ndjson"]),
        &["2000 items"],
        &[],
    );

    let mut export = program.command(&["export", "*"]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(export.stdout.take().unwrap());
    let mut file = String::new();
    while !file.contains("generation") {
        assert_ne!(lines.read_line(&mut file).unwrap(), 0);
    }
    let begins: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
    check(
        &program.run(&["load", "promo:large", "small.ndjson"]),
        &["replaced promo:large/default: 2 items"],
        &[],
    );
    for key in redis.cli_lines(&["KEYS", &format!("*{}*", begins["generation"].as_str().unwrap())]) {
        redis.cli(&["UNLINK", &key]);
    }
    lines.read_to_string(&mut file).unwrap();
    let ended = export.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert!(
        file.contains("it was replaced while it was read"),
        "{}",
        &file[file.len() - 500..]
    );
    let small = ["[\"1\",{\"id\":1}]", "[\"2\",{\"id\":2}]"].map(str::to_owned).to_vec();
    assert_eq!(exported(&file), [("promo:large/default".to_owned(), small)]);

    program.write("listings.ndjson", file.as_bytes());
    check(
        &program.run(&["load", "listings.ndjson"]),
        &["1 listing, 2 items", "loaded 1 listing"],
        &[],
    );
}

#[test]
fn a_damaged_listing_of_the_present_layout_is_named_and_stays_among_the_names() {
    let redis = RedisServer::start();
    let program = Program::at(&redis.url());
    program.write("items.ndjson", b"{\"id\":1}\n{\"id\":2}\n");
    for name in ["promo:good", "promo:head", "promo:stream"] {
        check(&program.run(&["load", name, "items.ndjson"]), &["created"], &[]);
    }
    let only = |pattern: &str| redis.cli_lines(&["KEYS", pattern]).pop().unwrap();
    redis.cli(&["HSET", &only("*:head:promo:head/default"), "total", "1"]);
    redis.cli(&["UNLINK", &only("*:gen:*:promo:stream/default")]);
    for _ in 0..2 {
        let export = program.run(&["export", "*"]);
        assert_eq!(export.status.code(), Some(2));
        let says = stderr(&export);
        assert!(says.contains("exported 1 listing with 2 items"), "{says}");
        assert!(
            says.contains("not exported: promo:head/default: unreadable value"),
            "{says}"
        );
        assert!(
            says.contains("not exported: promo:stream/default: chunk 0 of 1 is missing"),
            "{says}"
        );
    }
    let nothing = program.run(&["export", "promo:none*"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("no pushed listing has a name that fits `promo:none*`"));
    assert_eq!(program.run(&["export", "promo:head"]).status.code(), Some(1));
    // The disk is full: no part of an export is a success.
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(
        program
            .command(&["export", "promo:good"])
            .stdout(full)
            .status()
            .unwrap()
            .code(),
        Some(1)
    );
}

#[test]
fn nothing_is_loaded_of_a_file_that_is_not_whole_or_not_allowed() {
    let redis = RedisServer::start();
    let program = Program::at(&redis.url());
    program.write("items.ndjson", b"{\"id\":1,\"name\":\"one\"}\n");
    for name in ["promo:a", "promo:b"] {
        check(&program.run(&["load", name, "items.ndjson"]), &["created"], &[]);
    }
    let export = stdout(&program.run(&["export", "*"]));
    let elsewhere = RedisServer::start();
    let other = Program::at(&elsewhere.url());
    let cut: String = export.lines().take(6).map(|line| format!("{line}\n")).collect();
    for (file, says) in [
        (cut, "cut off after line 6"),
        (
            export.replacen("\"one\"", "\"two\"", 1),
            "line 4: the listing's sum is another",
        ),
        (
            export.replacen("promo:b", "other:b", 1),
            "no glob of `pushed.names` matches `other:b`",
        ),
        ("{\"id\":1}\n".to_owned(), "`listcache load NAME FILE`"),
    ] {
        other.write("listings.ndjson", file.as_bytes());
        let load = other.run(&["load", "listings.ndjson"]);
        assert_eq!(load.status.code(), Some(1), "{says}");
        assert!(stderr(&load).contains(says), "{says}: {}", stderr(&load));
        assert_eq!(elsewhere.cli(&["KEYS", "*:head:*"]), "", "{says}");
    }
    check(
        &other.run(&["load", "none.ndjson"]),
        &[],
        &["there is no file `none.ndjson`"],
    );
    check(
        &other.run(&["load", "promo:a"]),
        &[],
        &["no file `promo:a`", "`listcache load NAME FILE`"],
    );
    check(
        &other.run(&["load", "listings.ndjson", "--sort", "price"]),
        &[],
        &["<NAME>"],
    );
}
