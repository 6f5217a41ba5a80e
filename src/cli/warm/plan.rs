//! `warm --dry-run`: says what a warm-up will come to; writes nothing.

use std::process::ExitCode;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde_json::{Value, json};

use crate::{
    app::App,
    cli::{CommandError, Outcome, print, progress, warm_options::WarmOptions},
    engine::warm_up::{Amount, Effort, Plan, Target},
};

pub(super) async fn run(app: &App, targets: &[Target], effort: &Effort, options: &WarmOptions) -> Outcome {
    let plan = app.engine.warm_ups.plan(targets, effort).await;
    let plan = plan.map_err(CommandError::engine("cannot estimate the warm-up"))?;
    if progress::is_bar(options.progress) {
        lines(&plan, effort).iter().try_for_each(|line| print(line))?;
    } else {
        print(&document(&plan, targets).to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn document(plan: &Plan, targets: &[Target]) -> Value {
    let amount = |amount: &Amount| json!({ "listings": amount.listings, "items": amount.items, "bytes": amount.bytes });
    let all = plan.all();
    let mut names: Vec<_> = targets.iter().map(|target| &target.family.name).collect();
    names.sort_unstable();
    names.dedup();
    json!({
        "event": "dry-run", "names": names.len(), "families": plan.families, "fresh": plan.fresh,
        "listings": all.listings, "items": all.items, "bytes": all.bytes,
        "measured": amount(&plan.kept), "estimated": amount(&plan.read),
        "origin_reads": plan.origin_reads, "origin_reads_a_second": round(plan.origin_reads_a_second()),
        "timed_reads": plan.timed, "a_read_ms": round(plan.a_read.as_secs_f64() * 1e3),
        "takes_ms": u64::try_from(plan.takes.as_millis()).unwrap_or(u64::MAX),
    })
}

fn lines(plan: &Plan, effort: &Effort) -> Vec<String> {
    let amount = |amount: &Amount| {
        format!(
            "{} listings, {} items, {}",
            HumanCount(amount.listings),
            HumanCount(amount.items),
            HumanBytes(amount.bytes)
        )
    };
    let mut lines = vec![format!(
        "{} families would be refreshed: {}",
        HumanCount(plan.families),
        amount(&plan.all())
    )];
    if plan.kept.listings > 0 {
        lines.push(format!(
            "  kept in Redis already, measured there: {}",
            amount(&plan.kept)
        ));
    }
    if plan.read.listings > 0 {
        lines.push(format!(
            "  not kept yet, read from the origin once and counted, bytes reckoned: {}",
            amount(&plan.read)
        ));
    }
    if plan.fresh > 0 {
        lines.push(format!("  {} families are fresh, and left", HumanCount(plan.fresh)));
    }
    if plan.origin_reads > 0 {
        lines.push(format!(
            "  {} reads of origins, {:.1} a second, {} in all (estimated from {} reads of {:.1} ms, measured now)",
            HumanCount(plan.origin_reads),
            plan.origin_reads_a_second(),
            HumanDuration(plan.takes),
            plan.timed,
            plan.a_read.as_secs_f64() * 1e3,
        ));
        if effort.origin_latency_max.is_some() {
            lines.push("  where an origin becomes too slow it takes longer".to_owned());
        }
    }
    lines
}

/// Two digits after the point are enough.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
