//! SIGTERM under load, by HTTP/2: what clients sent before they were told is answered whole, on connections that end of themselves.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method, Version};
use tokio::task::JoinSet;

use super::{push, secure, service};
use crate::support::{
    Certificate, RedisServer, eventually,
    frames::{
        ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, Raw, WINDOW_UPDATE, frame, get,
        put_head,
    },
    service::Service,
};

const LARGE: &str = "/v1/listings/promo:large";

/// What became of requests.
#[derive(Default)]
struct Tally {
    whole: AtomicU64,
    /// Never sent: nobody listens any more.
    unsent: AtomicU64,
}

/// Asks again and again until nobody listens; anything but a whole answer fails.
async fn ask_until_closed(client: Client, url: String, closing: Arc<AtomicBool>, tally: Arc<Tally>) {
    loop {
        let asked = client.get(&url).send().await;
        match asked {
            Ok(answer) => {
                assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
                let length = answer.content_length().unwrap();
                let body = answer.bytes().await.expect("cut in its body");
                assert!(body.len() as u64 == length && body.ends_with(b"]}"));
                tally.whole.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) if error.is_connect() => {
                assert!(closing.load(Ordering::SeqCst), "refused without a reason: {error:?}");
                tally.unsent.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Err(error) => panic!("cut: {error:?}"),
        }
    }
}

/// 4 clients of 8 streams each, then SIGTERM. Says how many answers came before and after it.
async fn load_and_terminate(service: &mut Service, client: impl Fn() -> Client) -> (u64, u64, u64) {
    let url = service.url(&format!("{LARGE}?size=250"));
    let (closing, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let client = client();
        for _ in 0..8 {
            asking.spawn(ask_until_closed(
                client.clone(),
                url.clone(),
                closing.clone(),
                tally.clone(),
            ));
        }
    }
    eventually(async || match tally.whole.load(Ordering::SeqCst) {
        enough if enough > 200 => Ok(()),
        few => Err(few),
    })
    .await;
    closing.store(true, Ordering::SeqCst);
    let before = tally.whole.load(Ordering::SeqCst);
    service.terminate();
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    let after = tally.whole.load(Ordering::SeqCst) - before;
    (before, after, tally.unsent.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_cuts_no_stream() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    for encrypted in [false, true] {
        let mut service = match encrypted {
            false => service(&redis, ""),
            true => secure(&redis, &certificate, ""),
        };
        push(&service, LARGE, 250, 400).await;
        let client = || match encrypted {
            false => Client::builder().http2_prior_knowledge().build().unwrap(),
            true => certificate.client().build().unwrap(),
        };
        let (before, after, unsent) = load_and_terminate(&mut service, client).await;
        let status = service.ended();
        eprintln!(
            "{}: {before} answers before SIGTERM, {after} after it, 0 cut",
            service.scheme
        );
        assert!(after > 0, "it was served on");
        assert_eq!(unsent, 32);
        assert_eq!(status.code(), Some(0), "{}", service.log());
        assert!(!service.log().contains("cut at the end"), "{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_under_way_end_and_idle_connections_hold_up_nothing() {
    let redis = RedisServer::start();
    let mut service = service(&redis, "[http]\ndrain_timeout = \"15s\"\n");
    push(&service, LARGE, 250, 4000).await;
    // An idle one, which will say nothing; one with an answer that is taken slowly, a push whose second half comes late, and a
    // follower.
    let mut idle = Raw::connect(&service, &[]);
    let small = format!("{LARGE}?size=1");
    idle.send(&get(1, &small));
    idle.until(|frame| frame.flags & END_STREAM != 0 && frame.kind == DATA)
        .unwrap();
    let unused = Raw::connect(&service, &[]);
    let mut busy = Raw::connect(&service, &[]);
    // Room for all streams together, and for each what it has at first.
    busy.send(&window(0, 1 << 30));
    busy.send(&get(1, &format!("{LARGE}?size=250")));
    busy.send(&frame(HEADERS, END_HEADERS, 3, &put_head("/v1/listings/promo:slow")));
    busy.send(&frame(DATA, 0, 3, b"{\"id\":1}\n"));
    busy.send(&get(5, &format!("{LARGE}/events")));
    let mut frames = Vec::new();
    read_up_to(&mut busy, &mut frames, |frame| frame.stream == 5 && frame.kind == DATA);

    service.terminate();
    // It is told first that it must open no more, of no certain stream; what it has sent until it answers is served.
    read_up_to(&mut busy, &mut frames, |frame| frame.kind == PING);
    let goaway = frames.iter().find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!((goaway.reason(), goaway.last_stream()), (0, u32::MAX >> 1));
    let told = Instant::now();
    busy.send(&get(7, &small));
    let ping = frames.last().unwrap().payload.clone();
    busy.send(&frame(PING, ACK, 0, &ping));
    read_up_to(&mut busy, &mut frames, |frame| frame.kind == GOAWAY);
    let last = frames.last().unwrap();
    assert_eq!((last.reason(), last.last_stream()), (0, 7));
    // Too late: never answered, and the client knows.
    busy.send(&get(9, &small));
    busy.send(&frame(DATA, END_STREAM, 3, b"{\"id\":2}\n"));
    // A megabyte, of which a little comes each time that there is room for it: longer than a forced end would take.
    let of_the_first = |frame: &Frame| {
        if frame.stream == 1 {
            frame.payload.len() as u32
        } else {
            0
        }
    };
    let mut room = frames.iter().filter(|frame| frame.kind == DATA).map(of_the_first).sum();
    loop {
        if room > 0 {
            std::thread::sleep(Duration::from_millis(20));
            let _ = busy.0.write_all(&window(1, room));
        }
        let Some(frame) = busy.next(true) else { break };
        room = if frame.kind == DATA { of_the_first(&frame) } else { 0 };
        frames.push(frame);
    }
    eprintln!("the slow answer ended {:?} after GOAWAY", told.elapsed());
    assert!(told.elapsed() > Duration::from_secs(1), "{:?}", told.elapsed());
    let of = |wanted: &[u8], flag: u8| {
        let found = frames
            .iter()
            .filter(|frame| wanted.contains(&frame.kind) && frame.flags & flag == flag);
        let mut streams: Vec<_> = found.map(|frame| frame.stream).collect();
        streams.sort();
        streams
    };
    assert_eq!(of(&[DATA, HEADERS], END_STREAM), [1, 3, 5, 7]);
    assert_eq!(of(&[RST_STREAM], 0), [0; 0]);
    let status = service.ended();
    drop((idle, unused));
    assert_eq!(status.code(), Some(0), "{}", service.log());
    assert!(!service.log().contains("cut at the end"), "{}", service.log());
}

fn read_up_to(raw: &mut Raw, frames: &mut Vec<Frame>, is_last: impl Fn(&Frame) -> bool) {
    loop {
        frames.push(raw.next(false).expect("cut"));
        if frames.last().is_some_and(&is_last) {
            return;
        }
    }
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_end_at_once() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let mut service = secure(&redis, &certificate, "drain_timeout = \"15s\"\n");
    push(&service, LARGE, 10, 10).await;
    // By a real client, which answers pings; and one by HTTP/1.1.
    let clients = [certificate.client(), certificate.client().http1_only()].map(|client| client.build().unwrap());
    for client in &clients {
        let answer = client.request(Method::GET, service.url(LARGE)).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().last(), Some(&b'}'));
    }
    let begun = Instant::now();
    service.terminate();
    let status = service.ended();
    assert_eq!(status.code(), Some(0), "{}", service.log());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
