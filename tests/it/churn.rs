//! The week of a real year in which most prices changed, thousands of times faster: refreshes are coalesced, and the shop's
//! pages hardly notice. `make bench-churn` replays the whole year.

use std::time::Duration;

use crate::support::churn::{self, Replay, Strategy, changes::Year, percentile};

const COALESCE_FOR: Duration = Duration::from_secs(1);
/// Half the benchmark's: a build that is not optimised keeps up with that many refreshes. Where it does not, the time that
/// they wait for a processor is all that is measured.
const SPEED: u32 = churn::SPEED / 2;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times: `make test` runs it by itself"]
async fn a_week_of_price_changes_is_shown_in_time_and_each_listing_is_read_once_a_while() {
    let Some(year) = Year::read() else {
        eprintln!("skipped: the price changes are not beside the project, see ../shared/data");
        return;
    };
    let replay = Replay {
        strategy: Strategy::AsksForRefreshes,
        coalesce_for: COALESCE_FOR,
        speed: SPEED,
        pages_a_second: 200,
        waits: true,
    };
    let figures = churn::run(&year, year.busiest_week(), replay).await;
    let [staleness, accepted, build, burst, pages] = [
        &figures.staleness,
        &figures.accepted_after,
        &figures.waits,
        &figures.burst,
        &figures.page_staleness,
    ]
    .map(|values| percentile(values, 99.0));
    let three_of_four = percentile(&figures.staleness, 75.0);
    // What the service promises counts from when it has accepted.
    let most = accepted + COALESCE_FOR + build;
    // Some changes come with those of most other listings, and wait until the machine has done those.
    let most_in_a_burst = accepted + COALESCE_FOR + burst;
    eprintln!(
        "{} changes in {:?}, {} refreshes: shown after {:?} (p50), {three_of_four:?} (p75), {staleness:?} (p99), {:?}; accepted after {accepted:?} (p99); \
         one that is waited for {build:?} (p99), all at once {burst:?} (p99); \
         {} pages, {:.2} % hits, stale by {pages:?} (p99); {} bytes to redis a change, {:.2} % of chunks stay",
        figures.changes,
        figures.took,
        figures.builds.len(),
        percentile(&figures.staleness, 50.0),
        percentile(&figures.staleness, 100.0),
        figures.reads.count,
        figures.hit_rate() * 100.0,
        figures.bytes_a_change(),
        figures.stay_rate() * 100.0,
    );
    assert_eq!(figures.never_shown, 0);
    assert_eq!(figures.reads.failed, 0);
    assert_eq!(figures.refreshes_in_a_window, 1);
    assert!(three_of_four <= most, "{three_of_four:?} > {most:?}");
    assert!(staleness <= most_in_a_burst, "{staleness:?} > {most_in_a_burst:?}");
    assert!(pages <= most_in_a_burst, "{pages:?} > {most_in_a_burst:?}");
    assert!(figures.hit_rate() >= 0.95, "{}", figures.hit_rate());
    // What does not change costs nothing: chunks of listings in the order of their prices, whole ones among them.
    assert!(figures.stay_rate() >= 0.6, "{}", figures.stay_rate());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times: `make test` runs it by itself"]
async fn a_week_of_changes_told_product_by_product_reads_a_row_each_and_leaves_no_listing_wrong() {
    let Some(year) = Year::read() else {
        eprintln!("skipped: the price changes are not beside the project, see ../shared/data");
        return;
    };
    let replay = Replay {
        strategy: Strategy::TellsChanges,
        coalesce_for: COALESCE_FOR,
        speed: churn::SPEED,
        pages_a_second: 200,
        waits: false,
    };
    let figures = churn::run(&year, year.busiest_week(), replay).await;
    let rows = figures.rows_a_change();
    eprintln!(
        "{} changes in {:?}: shown after {:?} (p50), {:?} (p99); {} pages, {:.2} % hits; {rows:.2} rows and {} bytes to redis a change, {:.2} % of chunks stay",
        figures.changes,
        figures.took,
        percentile(&figures.staleness, 50.0),
        percentile(&figures.staleness, 99.0),
        figures.reads.count,
        figures.hit_rate() * 100.0,
        figures.bytes_a_change(),
        figures.stay_rate() * 100.0,
    );
    assert_eq!(figures.wrong, Vec::<String>::new());
    assert_eq!((figures.never_shown, figures.reads.failed), (0, 0));
    // Each is due once a day, whatever is told: one or two may be so now.
    assert!(
        figures.builds.len() <= 2,
        "{} listings were read in full",
        figures.builds.len()
    );
    // One listing has a product; several changes of it at once need one reading.
    assert!(rows <= 1.2, "{rows}");
    assert!(figures.hit_rate() >= 0.95, "{}", figures.hit_rate());
}
