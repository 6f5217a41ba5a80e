//! Everything that a stranger can do to one service, at once and for as long as `HOSTILE_SECONDS` says, beside honest readers,
//! a publisher and an operator: `make hostile` runs ten minutes of it, `make test` some seconds.
//!
//! The attacks stand in [`attacks`], the honest clients in [`honest`]. What the service may take is bounded by [`CONFIG`].

mod attacks;
mod honest;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

/// The bounds of the service under attack.
const CONFIG: &str = r#"
[http]
connections_max = 300
followers_max = 60
head_timeout = "1s"
send_timeout = "2s"
keep_alive = "3s"
drain_timeout = "3s"
"#;
/// Each attacking connection must have ended by then: the longest deadline above, and the load of two cores.
const HELD_MAX: Duration = Duration::from_secs(10);
/// Connections beyond `connections_max`, and what the process has open besides: Redis, databases, the log.
const FILES_MAX: usize = 300 + 16 + 100;
const FOLLOWERS_MAX: f64 = 60.0;
const LOG_BYTES_MAX: usize = 1 << 20;
/// Memory may grow by this much once the attack is under way: what allocators keep.
const GROWTH_MAX: u64 = 48 << 20;
/// The drain time, and what ending takes on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// The service, and what everybody has seen of it.
struct Setting {
    service: Service,
    stop: AtomicBool,
    /// Honest answers, by kind of client and status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// What an honest client must never see.
    wrong: Mutex<Vec<String>>,
    /// How often each attack was made.
    attacks: Mutex<BTreeMap<&'static str, u64>>,
    /// The longest time for which the service kept an attacker's connection.
    held_longest_ms: AtomicU64,
}

impl Setting {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn attacked(&self, attack: &'static str) {
        *self.attacks.lock().entry(attack).or_default() += 1;
    }

    fn answered(&self, client: &'static str, status: u16) {
        *self.answers.lock().entry((client, status)).or_default() += 1;
    }

    fn is_wrong(&self, what: String) {
        let mut wrong = self.wrong.lock();
        if wrong.len() < 20 {
            wrong.push(what);
        }
    }

    fn held(&self, time: Duration) {
        self.held_longest_ms
            .fetch_max(time.as_millis() as u64, Ordering::SeqCst);
    }
}

/// Memory, files and followers of the service, sampled as long as the attack goes on.
#[derive(Default)]
struct Levels {
    resident_bytes: Vec<u64>,
    files: Vec<usize>,
    followers: f64,
}

async fn watch(setting: &Setting, lasting: Duration) -> Levels {
    let mut levels = Levels::default();
    let began = Instant::now();
    while began.elapsed() < lasting {
        levels.resident_bytes.push(setting.service.resident_bytes());
        levels.files.push(setting.service.open_files());
        let metrics = honest::fresh_get(&setting.service, "/metrics").await;
        match metrics {
            Ok((200, text)) => levels.followers = levels.followers.max(honest::followers(&text)),
            other => setting.is_wrong(format!("/metrics: {other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    levels
}

/// The most of a stretch of samples.
fn most<T: Copy + Ord>(samples: &[T]) -> T {
    *samples.iter().max().expect("samples were taken")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes both cores for as long as HOSTILE_SECONDS says: `make hostile`"]
async fn hostile() {
    let seconds = std::env::var("HOSTILE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    let lasting = Duration::from_secs(seconds);
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(
        "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 5000)
         insert into products select 1000 + n, 'COLD' || n, 'EUR', 'Other', n, 0 from numbers;",
    )
    .await;
    let config = shop.config(&redis.url(), CONFIG).replace(
        r#"names = ["BREAD", "EMPTY"]"#,
        r#"names = "select distinct category from products""#,
    );
    let setting = Arc::new(Setting {
        service: Service::start(&config),
        stop: AtomicBool::new(false),
        answers: Mutex::default(),
        wrong: Mutex::default(),
        attacks: Mutex::default(),
        held_longest_ms: AtomicU64::new(0),
    });
    honest::push_all(&setting, 0).await;
    let idle_files = setting.service.open_files();

    let mut clients = honest::begin(&setting);
    let mut attackers = attacks::begin(&setting);
    let levels = watch(&setting, lasting).await;

    // The honest stop first, then the service, while the attack goes on.
    setting.stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // Without the attack all that it held comes free.
    attackers.abort_all();
    while attackers.join_next().await.is_some() {}
    eventually(async || match setting.service.open_files() {
        files if files <= idle_files + 16 => Ok(()),
        files => Err((files, idle_files)),
    })
    .await;
    eventually(async || match setting.service.metric("listcache_followers").await {
        0.0 => Ok(()),
        followers => Err(followers),
    })
    .await;
    // And a service under attack ends when it is told to.
    setting.stop.store(false, Ordering::SeqCst);
    let mut attackers = attacks::begin(&setting);
    eventually(async || match setting.service.open_files() {
        files if files > idle_files + 100 => Ok(()),
        files => Err(files),
    })
    .await;
    let log = setting.service.log();
    setting.service.terminate();
    let told = Instant::now();
    eventually(async || if setting.service.runs() { Err("it runs") } else { Ok(()) }).await;
    let ended_after = told.elapsed();
    attackers.abort_all();
    while attackers.join_next().await.is_some() {}

    let (quarter, samples) = (levels.resident_bytes.len() / 4, &levels.resident_bytes);
    let (early, late) = (most(&samples[..2 * quarter]), most(&samples[3 * quarter..]));
    let held_longest = Duration::from_millis(setting.held_longest_ms.load(Ordering::SeqCst));
    eprintln!(
        "{seconds} s of {:?}; answers {:?}; {} then {} MiB; at most {} files and {} followers; connections held for {held_longest:?}; \
         log {} bytes; ended after {ended_after:?}",
        setting.attacks.lock(),
        setting.answers.lock(),
        early >> 20,
        late >> 20,
        most(&levels.files),
        levels.followers,
        log.len(),
    );
    assert_eq!(*setting.wrong.lock(), Vec::<String>::new());
    for client in honest::CLIENTS {
        let answers = setting.answers.lock();
        let good = answers.get(&(client, 200)).copied().unwrap_or_default();
        assert!(good > seconds / 4, "{client}: {good} good answers");
    }
    assert!(late <= early + GROWTH_MAX, "{early} then {late} bytes");
    assert!(most(&levels.files) <= FILES_MAX, "{} files", most(&levels.files));
    assert!(levels.followers < FOLLOWERS_MAX, "{} followers", levels.followers);
    assert!(held_longest <= HELD_MAX, "a connection was held for {held_longest:?}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.len() <= LOG_BYTES_MAX, "{} bytes of log", log.len());
    assert!(ended_after <= ENDS_WITHIN, "it ended {ended_after:?} after SIGTERM");
}
