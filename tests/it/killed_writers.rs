//! A writer killed anywhere in a build leaves nothing behind that a reader could see.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use listcache::engine::{Engine, EngineError};

use crate::support::{
    RedisServer,
    shop::{self, ScriptedOrigin, definitions, engine, page, place, push, texts},
};

const ITEMS: u64 = 40_000;
const POINTS: u32 = 50;

/// Writes a document of `ITEMS` items, all of one revision.
fn document(path: &Path, revision: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for item in shop::items(ITEMS, revision) {
        file.write_all(&item.json).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
}

fn load(directory: &Path, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
    command
        .env("LISTCACHE_CONFIG", directory.join("listcache.toml"))
        .args(["load", "pushed:built"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The revision of a page, all of whose items must be of it.
fn revision(texts: &[String]) -> u64 {
    let revision = |text: &String| -> u64 {
        let digits = text.split("\"revision\":").nth(1).unwrap();
        digits.trim_end_matches('}').parse().unwrap()
    };
    let first = revision(&texts[0]);
    assert!(texts.iter().all(|text| revision(text) == first), "a mixed page");
    first
}

/// Reads pages here and there until told to stop; each must be whole and of one revision.
async fn watch(node: Arc<Engine>, stop: Arc<AtomicBool>) -> u64 {
    let name = shop::name("pushed:built");
    let mut pages = 0;
    while !stop.load(Ordering::SeqCst) {
        for offset in [0, ITEMS / 2 + 7, ITEMS - 100] {
            match page(&node, &name, &place(offset, 100)).await {
                Ok(page) => {
                    assert_eq!((page.meta.total, page.count), (ITEMS, 100));
                    revision(&texts(&page));
                    pages += 1;
                    // A page in L1 awaits nothing: others need the runtime too.
                    tokio::task::yield_now().await;
                }
                Err(EngineError::Overloaded { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_killed_anywhere_leaves_the_old_generation_and_nothing_without_expiry() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "[redis]\nurl = \"{}\"\nprefix = \"t\"\n[pushed]\nnames = [\"pushed:*\"]\n",
        &redis.url()
    );
    std::fs::write(directory.path().join("listcache.toml"), config).unwrap();
    let origin = ScriptedOrigin::new(Vec::new());
    let node = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    push(&node, &shop::name("pushed:built"), shop::items(ITEMS, 0))
        .await
        .unwrap();
    let file = directory.path().join("items.ndjson");

    // How long a whole run takes, from start to end.
    document(&file, 1);
    let started = Instant::now();
    assert!(load(directory.path(), &file).status().unwrap().success());
    let whole = started.elapsed();

    let stop = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(node.clone(), stop.clone()));
    let mut published = 0;
    for point in 0..POINTS {
        let attempt = u64::from(point) + 2;
        document(&file, attempt);
        let mut writer = load(directory.path(), &file).spawn().unwrap();
        // Not a wait for a state: where in the build the kill falls is what is being tried out.
        tokio::time::sleep(whole * (point + 1) / POINTS).await;
        writer.kill().unwrap();
        writer.wait().unwrap();
        let page = page(&node, &shop::name("pushed:built"), &place(0, 100)).await.unwrap();
        published += u64::from(revision(&texts(&page)) == attempt);
    }
    stop.store(true, Ordering::SeqCst);
    let pages = watching.await.unwrap();
    eprintln!("{POINTS} kills over {whole:?}, {published} had published, {pages} pages watched");
    assert!(published < u64::from(POINTS), "no kill fell into a build");

    for key in redis.cli(&["--scan", "--pattern", "t:*"]).lines() {
        if key.contains(":gen:") || key.contains(":head:") || key.contains(":lease:") {
            let left: i64 = redis.cli(&["PTTL", key]).trim().parse().unwrap();
            // -2: it has just expired.
            assert!(left > 0 || left == -2, "{key} has no expiry");
            if key.contains(":gen:") {
                assert!(left <= Duration::from_secs(31 * 24 * 3600).as_millis() as i64);
            }
        }
    }
    // Readers go on with whatever was published last, and the next writer is not hindered.
    document(&file, 1000);
    assert!(load(directory.path(), &file).status().unwrap().success());
    crate::support::eventually(async || {
        let page = page(&node, &shop::name("pushed:built"), &place(0, 100)).await.unwrap();
        match revision(&texts(&page)) {
            1000 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}
