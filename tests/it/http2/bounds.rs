//! What one connection of HTTP/2 may cost.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{PROMO, is_well, push, service};
use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PREFACE, REFUSED_STREAM,
        RST_STREAM, Raw, SETTINGS, frame, get, get_head,
    },
    service::Service,
};

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_there_may_be_are_refused() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nstreams_max = 5\n");
    push(&service, PROMO, 10, 10).await;
    let mut raw = Raw::connect(&service, &[]);
    let settings = raw.until(|frame| frame.kind == SETTINGS).unwrap();
    let said: Vec<&[u8]> = settings.payload.chunks(6).collect();
    assert!(said.contains(&&[0, 3, 0, 0, 0, 5][..]), "{said:?}");
    // Followers stay.
    for number in 0..8 {
        raw.send(&get(2 * number + 1, &format!("{PROMO}/events")));
    }
    for refused in [11, 13, 15] {
        let reset = raw.until(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!((reset.stream, reset.reason()), (refused, REFUSED_STREAM));
    }
    eventually(async || match service.metric("listcache_followers").await {
        5.0 => Ok(()),
        other => Err(other),
    })
    .await;
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_is_431_and_an_endless_one_ends_its_connection() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let long = |length: usize| {
        // A name of one letter, and a value whose length is written in seven bits and more.
        let mut header = vec![0, 1, b'x', 127];
        let mut rest = length - 127;
        while rest >= 128 {
            header.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        header.push(rest as u8);
        header.resize(header.len() + length, b'y');
        header
    };
    let mut raw = Raw::connect(&service, &[]);
    // 45 KB, in three frames.
    raw.send(&frame(
        HEADERS,
        END_STREAM,
        1,
        &[get_head(PROMO), long(15_000)].concat(),
    ));
    raw.send(&frame(CONTINUATION, 0, 1, &long(15_000)));
    raw.send(&frame(CONTINUATION, END_HEADERS, 1, &long(15_000)));
    let answer = raw.until(|frame| frame.stream == 1).unwrap();
    assert_eq!(answer.kind, HEADERS);
    assert!(
        answer.payload.windows(3).any(|part| part == b"431") || answer.payload[0] == 0x48,
        "{answer:?}"
    );
    // The connection goes on.
    raw.send(&get(3, PROMO));
    assert_eq!(raw.until(|frame| frame.stream == 3).unwrap().kind, HEADERS);

    let before = service.resident_bytes();
    let mut raw = Raw::connect(&service, &[]);
    raw.send(&frame(HEADERS, END_STREAM, 1, &get_head(PROMO)));
    let more = frame(CONTINUATION, 0, 1, &long(15_000));
    // 150 MB, if it were taken.
    let refused = (0..10_000).find(|_| raw.0.write_all(&more).is_err());
    assert!(refused.is_some(), "all of it was taken");
    let grown = service.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    is_well(&service).await;
}

/// Sends so many requests, each reset at once, on one connection after another; says how many connections that took and what ended
/// them.
fn flood(service: &Service, requests: u32, path: &str) -> (u32, Vec<u32>) {
    let (mut connections, mut reasons, mut sent) = (0, Vec::new(), 0);
    while sent < requests {
        connections += 1;
        let mut raw = Raw::connect(service, &[]);
        let mut reader = Raw(raw.0.try_clone().unwrap());
        let reading = std::thread::spawn(move || {
            let frames = reader.rest();
            frames
                .into_iter()
                .find(|frame| frame.kind == GOAWAY)
                .map(|frame| frame.reason())
        });
        let mut stream = 1;
        while sent < requests {
            // 100 requests and their resets in one piece.
            let piece: Vec<u8> = (0..100)
                .flat_map(|number| {
                    let stream = stream + 2 * number;
                    [get(stream, path), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
                })
                .collect();
            if raw.0.write_all(&piece).is_err() {
                break;
            }
            stream += 200;
            sent += 100;
        }
        let _ = raw.0.shutdown(std::net::Shutdown::Write);
        reasons.extend(reading.join().unwrap());
    }
    (connections, reasons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_costs_no_memory() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    push(&service, PROMO, 250, 400).await;
    let page = format!("{PROMO}?size=250");
    let events = format!("{PROMO}/events");
    // What a first flood leaves behind is kept by the allocator.
    flood(&service, 5_000, &page);
    let before = service.resident_bytes();
    let mut most = before;
    let begun = Instant::now();
    let flooding = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| [flood(&service, 100_000, &page), flood(&service, 50_000, &events)]);
        while !flooding.is_finished() {
            most = most.max(service.resident_bytes());
            std::thread::sleep(Duration::from_millis(5));
        }
        flooding.join().unwrap()
    });
    let reasons: std::collections::BTreeSet<u32> = flooding.iter().flat_map(|(_, reasons)| reasons.clone()).collect();
    eprintln!(
        "150,000 requests reset in {:?}, over {} and {} connections, ended by {reasons:?}; {} KiB more memory at most",
        begun.elapsed(),
        flooding[0].0,
        flooding[1].0,
        (most - before) / 1024
    );
    assert!(most - before < 24 << 20, "{} bytes", most - before);
    // Not taken without end: whoever goes on so is told, and cut.
    assert_eq!(reasons, [ENHANCE_YOUR_CALM].into());
    eventually(async || match service.metric("listcache_followers").await {
        0.0 => Ok(()),
        other => Err(other),
    })
    .await;
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_frames_for_a_request_without_a_body_cost_no_memory() {
    let redis = RedisServer::start();
    // Longer than the test takes, on a busy machine too.
    let api = Api::start(|_| ApiAnswer {
        delay: Duration::from_secs(60),
        ..ApiAnswer::json("[]")
    });
    let service = Service::start(&format!(
        "redis.url = '{}'\nhttp.fill_wait = '1m'\n[origins.shop]\nkind = 'http'\nurl = '{}'\npaging = 'none'\n\
         [[listings]]\nname = 'slow:{{category}}'\norigin = 'shop'\nquery = 'GET /:category'\n\
         sorts.rank = {{ by = ['price'] }}\n",
        redis.url(),
        api.url
    ));
    let mut raw = Raw::connect(&service, &[]);
    // A request at work, which may still have a body.
    raw.send(&frame(HEADERS, END_HEADERS, 1, &get_head("/v1/listings/slow:A")));
    eventually(async || match api.requests().len() {
        0 => Err("not asked"),
        _ => Ok(()),
    })
    .await;
    let before = service.resident_bytes();
    let empty = frame(DATA, 0, 1, b"").repeat(10_000);
    for _ in 0..30 {
        raw.send(&empty);
    }
    // They have been read, for what follows them is answered; the other is still at work.
    raw.send(&get(3, "/health/live"));
    assert_eq!(raw.until(|frame| frame.stream != 0).unwrap().stream, 3);
    let grown = service.resident_bytes().saturating_sub(before);
    eprintln!("{} KiB more memory after 300,000 frames", grown / 1024);
    assert!(grown < 8 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_2_is_cut() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    // A frame too long; one of a stream that the client may not open; nothing that makes sense.
    for wrong in [
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(DATA, 0, 0, &[0; 20_000])].concat(),
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(2, PROMO)].concat(),
        [PREFACE, &[0xff; 100]].concat(),
    ] {
        let mut raw = Raw(service.connect());
        raw.send(&wrong);
        let frames = raw.rest();
        assert!(frames.iter().all(|frame| frame.stream == 0), "{frames:?}");
    }
    // Frames of all kinds, with whatever is in them.
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..500 {
        let mut raw = Raw::connect(&service, &[]);
        let frames = (0..20).flat_map(|_| {
            let payload: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            frame(random.u8(..11), random.u8(..), random.u32(..9), &payload)
        });
        let frames: Vec<u8> = frames.collect();
        let _ = raw.0.write_all(&frames);
        let _ = raw.0.shutdown(std::net::Shutdown::Write);
        raw.rest();
    }
    assert!(!service.log().contains("panicked"), "{}", service.log());
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_acknowledged_waits_for_those_who_read() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let before = service.resident_bytes();
    for piece in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut deaf = Raw::connect(&service, &[]);
        deaf.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let pieces = piece.repeat(10_000);
        // Until nothing is taken any more: every buffer on the way is full, and none of them ours.
        let stopped = (0..1000).find(|_| deaf.0.write_all(&pieces).is_err());
        assert!(stopped.is_some(), "all of it was taken");
    }
    let grown = service.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    is_well(&service).await;
}
