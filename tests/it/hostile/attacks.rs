//! The attacks: each is a loop of its own, bounded in its pace, that goes on until it is aborted.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use listcache::listing::{Cursor, ListingKey, Order};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{HELD_MAX, Setting, honest};
use crate::support::frames::{ACK, PING, PREFACE, SETTINGS, frame};

/// As many as the service takes at once.
const HOLDERS: usize = 300;
/// After which an attacker takes the service's silence for an endless hold.
const PATIENCE: Duration = HELD_MAX.saturating_mul(2);

/// Requests after which a connection stays open without a word, each in another state.
const HELD: [&str; 9] = [
    "",
    "GET /health/li",
    "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /v1/listings/category:BREAD/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PUT /v1/listings/promo:0 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[",
    "GET /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "OPTIONS /v1/listings HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n",
    "PUT /v1/listings/promo:0 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
];

pub fn begin(setting: &Arc<Setting>) -> JoinSet<()> {
    let mut attackers = JoinSet::new();
    for number in 0..HOLDERS {
        attackers.spawn(hold(setting.clone(), number));
    }
    attackers.spawn(follow_and_leave(setting.clone()));
    attackers.spawn(acknowledge_pings(setting.clone()));
    attackers.spawn(garbage(setting.clone()));
    attackers.spawn(long_names(setting.clone()));
    attackers.spawn(scan_names(setting.clone()));
    attackers.spawn(forge_cursors(setting.clone()));
    attackers
}

/// Opens a connection, says something, and reads until the service closes it. Returns how much it said.
async fn say(setting: &Setting, bytes: &[u8]) -> io::Result<u64> {
    let mut stream = TcpStream::connect(&setting.service.address).await?;
    stream.write_all(bytes).await?;
    // The time counts from when the service may have seen it.
    let began = Instant::now();
    let read = timeout(PATIENCE, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
    setting.held(began.elapsed());
    read.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// A socket that costs its owner 66 bytes.
async fn hold(setting: Arc<Setting>, number: usize) {
    sleep(Duration::from_millis(5 * number as u64)).await;
    for round in number.. {
        let _ = say(&setting, HELD[round % HELD.len()].as_bytes()).await;
        setting.attacked("sockets held");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Page views with a subscription each, none of which stays.
async fn follow_and_leave(setting: Arc<Setting>) {
    let request = b"GET /v1/listings/promo:0/events HTTP/1.1\r\nHost: x\r\n\r\n";
    loop {
        if let Ok(mut stream) = TcpStream::connect(&setting.service.address).await
            && stream.write_all(request).await.is_ok()
        {
            // It leaves once it is a follower.
            let mut beginning = [0; 64];
            let _ = timeout(PATIENCE, stream.read(&mut beginning)).await;
            setting.attacked("followers gone");
        }
        sleep(Duration::from_millis(25)).await;
    }
}

/// Acknowledgements of pings that the service never sent.
async fn acknowledge_pings(setting: Arc<Setting>) {
    let pings = frame(PING, ACK, 0, &[0; 8]).repeat(1000);
    loop {
        if let Ok(mut stream) = TcpStream::connect(&setting.service.address).await {
            let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
            let mut said = stream.write_all(&hello).await;
            for _ in 0..500 {
                if said.is_err() {
                    break;
                }
                // A service that reads no more ends the attack as well as one that closes.
                let sent = timeout(Duration::from_secs(5), stream.write_all(&pings)).await;
                said = sent.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
                setting.attacked("thousand pings");
                sleep(Duration::from_millis(10)).await;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Five bytes that are no request of any protocol, and heads that break its rules.
async fn garbage(setting: Arc<Setting>) {
    for round in 0.. {
        let bytes: &[u8] = match round % 4 {
            0 => b"\0\x01\x02\xff\n",
            1 => b"GET / HTTP/9.9\r\n\r\n",
            2 => b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff\xff\xff\xff\xff\xff\xff",
        };
        let _ = say(&setting, bytes).await;
        setting.attacked("garbage");
        sleep(Duration::from_millis(30)).await;
    }
}

/// A header's name that is longer than any.
async fn long_names(setting: Arc<Setting>) {
    let request = format!("GET /health/live HTTP/1.1\r\n{}: y\r\n\r\n", "x".repeat(65_536));
    loop {
        let _ = say(&setting, request.as_bytes()).await;
        setting.attacked("long header names");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Names that nobody has, of a definition that cannot know it.
async fn scan_names(setting: Arc<Setting>) {
    loop {
        let mut batch = String::new();
        for _ in 0..19 {
            batch += &format!(
                "HEAD /v1/listings/plain:{:x} HTTP/1.1\r\nHost: x\r\n\r\n",
                fastrand::u64(..)
            );
        }
        batch += "HEAD /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let _ = say(&setting, batch.as_bytes()).await;
        setting.attacked("twenty names");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Cursors of real generations, with another shape and a right check sum.
async fn forge_cursors(setting: Arc<Setting>) {
    let key = ListingKey::parse("promo:0/default").unwrap();
    loop {
        if let Ok((200, page)) = honest::fresh_get(&setting.service, "/v1/listings/promo:0?size=7").await {
            let page: serde_json::Value = serde_json::from_str(&page).unwrap_or_default();
            let generation = page["generation"].as_str().unwrap_or_default().parse();
            for chunk_len in [1, 5, 13, 250] {
                let Ok(generation) = generation else { continue };
                let cursor = Cursor {
                    generation,
                    offset: 7,
                    limit: 7.try_into().unwrap(),
                    order: Order::Asc,
                    total: honest::ITEMS as u64,
                    chunk_len: chunk_len.try_into().unwrap(),
                    filters: 0,
                };
                let path = format!("/v1/listings/promo:0?cursor={}", cursor.encode(&key));
                let _ = honest::fresh_get(&setting.service, &path).await;
                setting.attacked("cursors forged");
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}
