//! `demo`: a shop to look at, with nothing to set up but redis-server.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CommandError, Outcome, warm};
use crate::{
    app::{App, Bound, Role, say, shutdown_on_signals},
    config::{Config, Environment, Flag, OriginKind, Secret, Sources},
    engine::{Chain, Engine},
    http::{ChangePrice, ChangedPrice, Storefront},
    listing::ListingName,
    origin::SampleCatalogue,
};

/// The demo's configuration; environment and flags go above it. Its origins are all the sample catalogue.
const CONFIG: &str = include_str!("../../fixtures/demo.toml");
/// How long the answer waits for the listing.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);
/// Random bytes of a token that nobody gave.
const TOKEN_BYTES: usize = 16;

pub(super) async fn run(environment: Environment, flags: Vec<Flag>) -> Outcome {
    let shutdown = shutdown_on_signals()?;
    let (mut config, new_token) = config(environment, flags)?;
    // Removed when dropped, after everything that uses it.
    let dir = tempfile::tempdir().map_err(CommandError::io("cannot make a temporary directory"))?;
    let catalogue = SampleCatalogue::create(&dir.path().join("catalogue.db"))
        .await
        .map_err(CommandError::origin("cannot make the sample catalogue"))?;
    for origin in &mut config.origins {
        origin.kind = OriginKind::Sql {
            max_transaction_time: None,
            strict: false,
            url: Secret::new(catalogue.url()),
        };
    }
    let app = tokio::select! {
        app = App::start(config, Role::Serve) => app?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let storefront = Storefront {
        change_price: change_price(catalogue, app.engine.clone()),
    };
    let served = match app.bind(Some(storefront)) {
        Ok(bound) => warm_and_serve(&app, bound, new_token, shutdown).await,
        Err(error) => Err(error.into()),
    };
    app.stop().await;
    served.map(|()| ExitCode::SUCCESS)
}

/// The control on the page: it changes the database, and no more. A trigger writes into the outbox, and the listings follow; the answer waits for
/// the product's category.
fn change_price(catalogue: SampleCatalogue, engine: Arc<Engine>) -> ChangePrice {
    Arc::new(move |id, price_cents| {
        let (catalogue, engine) = (catalogue.clone(), engine.clone());
        Box::pin(async move {
            let category = catalogue.category_of(id).await;
            let Some(category) = category.map_err(|error| Chain(&error).to_string())? else {
                return Ok(None);
            };
            let listing = ListingName::parse(&format!("category:{category}")).map_err(|error| error.to_string())?;
            let follower = engine.inspector.follow(&listing, None).await;
            let mut follower = follower.map_err(|error| Chain(&error).to_string())?;
            // The state that it begins with.
            while follower.next().now_or_never().flatten().is_some() {}
            let (rows, began) = (engine.metrics.changed_rows_read.get(), Instant::now());
            let changed = catalogue.change_price(id, price_cents).await;
            changed.map_err(|error| Chain(&error).to_string())?;
            // A price that was set again changes nothing.
            let shown = timeout(SHOWN_WITHIN, follower.next()).await;
            Ok(Some(ChangedPrice {
                listing,
                took: shown.is_ok().then(|| began.elapsed()),
                rows_read: engine.metrics.changed_rows_read.get() - rows,
            }))
        })
    })
}

async fn warm_and_serve(
    app: &App,
    bound: Bound,
    new_token: Option<Secret>,
    shutdown: CancellationToken,
) -> Result<(), CommandError> {
    let warmed = tokio::select! {
        warmed = warm::warm_everything(app, &shutdown) => warmed?,
        () = shutdown.cancelled() => return Ok(()),
    };
    if shutdown.is_cancelled() {
        return Ok(());
    }
    if warmed.failed > 0 {
        tracing::warn!(
            failed = warmed.failed,
            "names not warmed; each is filled when it is asked for"
        );
    }
    bound.announce();
    if let Some(address) = bound.addresses().first() {
        say(&format!("storefront   http://{address}/"));
        say(&format!(
            "a page       http://{address}/v1/listings/all?sort=price&size=24"
        ));
    }
    if let Some(token) = new_token {
        say(&format!("admin token  {}", token.expose()));
    }
    Ok(bound.run(shutdown).await?)
}

/// The configuration, and the token where it had to be made.
fn config(environment: Environment, flags: Vec<Flag>) -> Result<(Config, Option<Secret>), CommandError> {
    let sources = Sources {
        file: None,
        environment,
        flags,
    };
    let mut config = sources.load_text(CONFIG)?;
    let mut new_token = None;
    if config.admin_token.is_none() {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| CommandError::Refused(format!("no random numbers for a token: {error}")))?;
        let token = Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        new_token = Some(token.clone());
        config.admin_token = Some(token);
    }
    Ok((config, new_token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::PRIVATE_REDIS,
        listing::{ListingName, definition::Resolved},
    };

    fn load(variables: &[(&str, &str)], flags: Vec<Flag>) -> (Config, Option<Secret>) {
        let environment = variables.iter().copied().collect();
        config(environment, flags).unwrap()
    }

    #[test]
    fn the_demo_is_well_configured() {
        let (config, token) = load(&[], Vec::new());
        assert_eq!(config.redis.url.expose(), PRIVATE_REDIS);
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(token.unwrap().expose().len(), 2 * TOKEN_BYTES);
        let resolve = |name| config.definitions.resolve(&ListingName::parse(name).unwrap());
        let Resolved::Defined(category) = resolve("category:BREAD") else {
            panic!("no category");
        };
        let sorts: Vec<_> = category
            .definition
            .sorts
            .iter()
            .map(|sort| sort.name.as_str())
            .collect();
        assert_eq!(
            sorts,
            ["popularity", "price", "list_price", "name", "newest", "discount"]
        );
        assert!(matches!(resolve("all"), Resolved::Defined(_)));
        assert!(matches!(resolve("promo:x"), Resolved::Pushed(_)));
    }

    #[test]
    fn the_token_of_the_environment_is_used_and_not_printed() {
        let (config, token) = load(&[("LISTCACHE_TOKEN", "0123456789abcdef")], Vec::new());
        assert!(token.is_none());
        assert_eq!(config.admin_token.unwrap().expose(), "0123456789abcdef");
    }
}
