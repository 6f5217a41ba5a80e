//! A seeded simulation of many nodes round one Redis: messages get lost, doubled, late and out of order, connections are
//! cut, nodes stand still and die, Redis stops, is flushed, goes back to an older state, and its clock jumps.
//!
//! What decides is the code itself: the [head table](crate::engine::l1::head_table), the positions in the logs, the codecs, and
//! the scripts, run by the Lua that Redis has. What is simulated is what lies between: network, time, the order of things.
//! Each step holds invariants 1 to 6 of ARCHITECTURE.md against a record of what really happened ([`truth`]). [`changes`] does so with invariant 10.
//!
//! One seed is one history: `SIMULATION_SEED=7 cargo test --lib simulation` plays it again, `SIMULATION_SEEDS=500` plays as many.

mod answers;
mod changes;
mod faults;
mod items;
mod logs;
mod network;
mod node;
mod reads;
mod redis;
mod refreshes;
mod truth;
mod world;

use std::time::Instant;

use self::world::World;

/// Events a seed.
const STEPS: u64 = 50_000;
/// Seeds a run: more than a million steps in all.
const SEEDS: u64 = 25;

/// Plays one seed. `Err`: what went wrong, and what happened just before.
fn play(seed: u64, steps: u64) -> Result<World, String> {
    let mut world = World::new(seed, false);
    for step in 0..steps {
        if let Err(violation) = world.step() {
            let mut again = World::new(seed, true);
            for _ in 0..=step {
                let _ = again.step();
            }
            let story = again.story();
            return Err(format!("seed {seed}, step {step}: {violation}\n{story}"));
        }
    }
    Ok(world)
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_million_steps_keep_the_invariants() {
    let seeds = match from_environment("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + from_environment("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let began = Instant::now();
    let mut tally = truth::Tally::default();
    let mut steps = 0;
    for seed in seeds {
        match play(seed, STEPS) {
            Ok(world) => tally.add(world.tally()),
            Err(violation) => panic!("{violation}\nSIMULATION_SEED={seed} plays it again"),
        }
        steps += STEPS;
    }
    eprintln!("{steps} steps in {:?}: {tally:?}", began.elapsed());
    // A simulation in which little happens finds little.
    if steps >= SEEDS * STEPS {
        tally.check_that_much_happened();
    }
}

#[test]
fn a_seed_is_played_the_same_way_twice() {
    let told = |_| {
        let mut world = World::new(3, true);
        for _ in 0..5000 {
            world.step().unwrap();
        }
        world.story()
    };
    assert_eq!(told(1), told(2));
}
