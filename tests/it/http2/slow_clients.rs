//! Slow clients by HTTP/2, and by TLS: cut as they are by HTTP/1.1 in plain.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PROMO, is_well, push, secure, service};
use crate::support::{
    Certificate, RedisServer,
    frames::{
        CANCEL, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS, frame, get,
        get_head,
    },
    service::Service,
};

/// No earlier than its limit of a second, and soon after.
#[track_caller]
fn check_cut_after_a_second(begun: Instant) {
    let took = begun.elapsed();
    assert!((900..4000).contains(&took.as_millis()), "{took:?}");
}

/// Sends bytes one by one, a tenth of a second apart, until the connection is cut.
fn drip(service: &Service, first: &[u8], bytes: &[u8]) {
    let mut slow = service.connect();
    slow.write_all(first).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    let mut buffer = [0; 1024];
    for byte in bytes {
        let sent = slow.write_all(&[*byte]);
        match slow.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && sent.is_ok() => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "still open");
    }
    check_cut_after_a_second(begun);
}

/// Says nothing more until the connection is cut.
fn fall_silent(service: &Service, first: &[u8]) {
    let mut silent = service.connect();
    silent.write_all(first).unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    check_cut_after_a_second(begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_frames_that_come_too_slowly_are_cut() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nhead_timeout = \"1s\"\n");
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    // A head of many frames, each of which comes soon enough.
    let head = [get_head(PROMO), vec![0x0f, 0xff]].concat();
    let slow_head: Vec<u8> = head
        .iter()
        .flat_map(|byte| frame(CONTINUATION, 0, 1, &[*byte]))
        .collect();
    let opened = frame(HEADERS, END_STREAM, 1, &[]);
    std::thread::scope(|scope| {
        let service = &service;
        // Nothing at all; a preface, a frame, a head that do not end.
        scope.spawn(|| fall_silent(service, b""));
        scope.spawn(|| fall_silent(service, b"PRI * HTTP"));
        scope.spawn(|| fall_silent(service, PREFACE.split_last().unwrap().1));
        scope.spawn(|| fall_silent(service, &[&hello[..], &opened].concat()));
        scope.spawn(|| fall_silent(service, &[&hello[..], &get(1, PROMO)[..9]].concat()));
        scope.spawn(|| drip(service, b"", &PREFACE.repeat(10)));
        scope.spawn(|| drip(service, &hello, &get(1, &format!("{PROMO}?{}", "x".repeat(60)))));
        scope.spawn(|| drip(service, &hello, &[&opened[..], &slow_head].concat()));
    });
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_asked_to_go_whatever_else_it_says() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nkeep_alive = \"1s\"\nsend_timeout = \"1s\"\n");
    push(&service, PROMO, 10, 10).await;
    let mut raw = Raw::connect(&service, &[]);
    raw.send(&get(1, PROMO));
    raw.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)
        .unwrap();
    let begun = Instant::now();
    let mut pinger = Raw(raw.0.try_clone().unwrap());
    let too_long = || begun.elapsed() > Duration::from_secs(10);
    let frames = std::thread::scope(|scope| {
        scope.spawn(move || {
            while pinger.0.write_all(&frame(PING, 0, 0, &[0; 8])).is_ok() && !too_long() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let frames = std::iter::from_fn(|| raw.next(true).filter(|_| !too_long()));
        frames.collect::<Vec<_>>()
    });
    check_cut_after_a_second(begun);
    let goaways: Vec<_> = frames.iter().filter(|frame| frame.kind == GOAWAY).collect();
    let last: Vec<_> = goaways
        .iter()
        .map(|frame| (frame.reason(), frame.last_stream()))
        .collect();
    assert_eq!(last, [(0, u32::MAX >> 1), (0, 1)]);

    // Who does not answer that is cut all the same.
    let mut mute = Raw::connect(&service, &[]);
    let begun = Instant::now();
    while mute.next(false).is_some() {}
    assert!(
        (1900..6000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );

    // A follower is not idle.
    let mut follower = Raw::connect(&service, &[]);
    follower.send(&get(1, &format!("{PROMO}/events")));
    follower.until(|frame| frame.kind == DATA).unwrap();
    follower.patience(Duration::from_millis(2500));
    let silence = loop {
        match follower.0.read(&mut [0; 1024]) {
            Ok(0) => panic!("cut"),
            Ok(_) => {}
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(silence, ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_which_nothing_is_taken_is_reset_and_a_deaf_connection_cut() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nsend_timeout = \"1s\"\n");
    push(&service, PROMO, 250, 10_000).await;
    let all = format!("{PROMO}?size=250");
    // No window for streams at all: the head comes, and then nothing can.
    let mut raw = Raw::connect(&service, &[(4, 0)]);
    let begun = Instant::now();
    raw.send(&get(1, &all));
    let answered = raw.until(|frame| frame.stream == 1).unwrap();
    assert_eq!(answered.kind, HEADERS);
    let reset = raw.until(|frame| frame.stream == 1).unwrap();
    assert_eq!((reset.kind, reset.reason()), (RST_STREAM, CANCEL));
    check_cut_after_a_second(begun);
    // The connection goes on.
    raw.send(&get(3, "/v1/listings/promo:none"));
    assert_eq!(raw.until(|frame| frame.stream == 3).unwrap().kind, HEADERS);

    // Windows without end, and nothing is read: 2.5 MB an answer, until every buffer on the way is full.
    let mut deaf = Raw::connect(&service, &[(4, u32::MAX >> 1)]);
    deaf.send(&frame(8, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let begun = Instant::now();
    let mut stream = 1;
    while deaf.0.write_all(&get(stream, &all)).is_ok() {
        stream += 2;
        assert!(begun.elapsed() < Duration::from_secs(15), "still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_and_slow_clients_behind_tls_are_cut() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let service = secure(&redis, &certificate, "head_timeout = \"1s\"\nsend_timeout = \"1s\"\n");
    push(&service, PROMO, 250, 10_000).await;
    // A record of 512 bytes, of which a byte comes now and then; and nothing at all.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    std::thread::scope(|scope| {
        scope.spawn(|| fall_silent(&service, b""));
        scope.spawn(|| drip(&service, &hello, &[7; 100]));
    });
    // A head that comes slowly over a good connection, the first and a later one.
    for answered_first in [false, true] {
        let mut slow = certificate.connect(&service, &["http/1.1"]).await.unwrap();
        if answered_first {
            slow.write_all(format!("GET {PROMO}/none HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .await
                .unwrap();
            assert!(slow.read(&mut [0; 4096]).await.unwrap() > 0);
        }
        let begun = Instant::now();
        slow.write_all(b"GET /").await.unwrap();
        slow.flush().await.unwrap();
        let mut answer = Vec::new();
        let _ = slow.read_to_end(&mut answer).await;
        check_cut_after_a_second(begun);
    }
    // Answers that nobody takes, by each protocol.
    let request = format!("GET {PROMO}?size=250 HTTP/1.1\r\nHost: x\r\n\r\n");
    let settings = frame(SETTINGS, 0, 0, &[&[0, 4][..], &(u32::MAX >> 1).to_be_bytes()].concat());
    let window = frame(8, 0, 0, &(1_u32 << 30).to_be_bytes());
    for (protocol, hello) in [("http/1.1", Vec::new()), ("h2", [PREFACE, &settings, &window].concat())] {
        let mut deaf = certificate.connect(&service, &[protocol]).await.unwrap();
        deaf.write_all(&hello).await.unwrap();
        let begun = Instant::now();
        for number in 0.. {
            let bytes = match protocol {
                "h2" => get(2 * number + 1, &format!("{PROMO}?size=250")),
                _ => request.clone().into_bytes(),
            };
            let sent = async {
                deaf.write_all(&bytes).await?;
                deaf.flush().await
            };
            if sent.await.is_err() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(15), "still open: {protocol}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    }
    is_well(&service).await;
}
