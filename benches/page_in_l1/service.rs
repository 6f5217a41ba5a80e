//! The real service with one worker, a redis-server of its own and one pushed listing.

use listcache::{
    app::{App, Role},
    config::Sources,
    listing::{Item, ItemId, ListingName, SortName},
};
use tokio_util::sync::CancellationToken;

use super::{Outcome, server};

const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
workers = 1
[redis]
url = "private"
[pushed]
names = ["*"]
"#;
const NAME: &str = "category:BREAD";
const ITEMS: i64 = 1434;
/// 24 of these, with what stands around them, are about 14 KB.
const ITEM_BYTES: usize = 555;

pub fn run() -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Outcome<()> {
    let app = App::start(Sources::default().load_text(CONFIG)?, Role::Serve).await?;
    push(&app).await?;
    let bound = app.bind(None)?;
    if let Some(address) = bound.addresses().first() {
        server::announce(address);
    }
    let shutdown = CancellationToken::new();
    let parent = shutdown.clone();
    std::thread::spawn(move || {
        server::parent_gone();
        parent.cancel();
    });
    bound.run(shutdown).await?;
    app.stop().await;
    Ok(())
}

async fn push(app: &App) -> Outcome<()> {
    let name = ListingName::parse(NAME)?;
    let mut push = app.engine.push(&name, SortName::default_sort()).await?;
    for number in 1..=ITEMS {
        push.append(item(number)).await?;
    }
    push.finish().await?;
    Ok(())
}

const WORDS: [&str; 24] = [
    "brown", "bread", "of", "rye", "and", "wheat", "baked", "slowly", "in", "a", "stone", "oven", "with", "sea",
    "salt", "crisp", "crust", "soft", "inside", "keeps", "for", "days", "organic", "seeds",
];

/// A product with a description that fills it up, unlike the others'.
fn item(number: i64) -> Item {
    let mut json = format!(
        r#"{{"id":{number},"name":"Loaf {number}","price":{},"description":""#,
        100 + number % 700
    );
    let mut chance = number.unsigned_abs();
    while json.len() < ITEM_BYTES - 2 {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        json.push_str(WORDS[(chance >> 33) as usize % WORDS.len()]);
        json.push(' ');
    }
    json.truncate(ITEM_BYTES - 2);
    json.push_str("\"}");
    Item {
        id: ItemId::from_integer(number),
        json: json.into(),
    }
}
