//! Programs that we did not write unpack our pages: gzip, curl. (A browser does in `storefront`.)

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::{WIDE, items, world};

/// `gzip -t`, which complains of anything in or behind a member.
fn gzip_tests(member: &[u8]) {
    let mut gzip = Command::new("gzip")
        .arg("-tv")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(member).unwrap();
    let said = gzip.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stderr).contains("OK"));
}

fn curl(url: &str) -> Vec<u8> {
    let said = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--compressed", url])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_and_curl_unpack_pages() {
    let world = world("64MiB", 4);
    world.push(WIDE, items(100)).await;
    let paths: Vec<_> = [
        "limit=24",
        "offset=7&limit=25",
        "order=desc&limit=96",
        "offset=97&limit=50",
        "offset=100",
    ]
    .iter()
    .map(|query| format!("/v1/listings/{WIDE}?{query}"))
    .collect();
    // Stored at first, then deflated.
    for _ in 0..2 {
        for path in &paths {
            gzip_tests(&world.member(path).await);
            assert_eq!(curl(&world.service.url(path)), world.plain(path).await, "{path}");
        }
        world.packed(&paths).await;
    }
}
