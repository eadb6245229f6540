//! A few seeds, and the promise that a seed says everything.

use std::process::Command;

use klamm_sim::{Outcome, Scenario, Shape, Without, simulate};

fn scenario(seed: u64) -> Scenario {
    Scenario { seed, shape: Shape::One, plant: None, without: Without::default(), has_details: false }
}

fn run(seed: u64) -> Outcome {
    // A thread of its own, so that nothing that a thread keeps is shared between runs.
    std::thread::spawn(move || simulate(&scenario(seed))).join().expect("a run that ends")
}

/// Seeds 7 and 66 parted when the order of wake-ups came from tokio's `watch` channels.
const REPEATED: [u64; 5] = [3, 7, 34, 44, 66];

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for seed in REPEATED {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// Of clusters as well.
#[test]
fn a_cluster_gives_the_same_trace_twice() {
    for shape in [Shape::Three, Shape::Five, Shape::Separate] {
        let run = || {
            let scenario = Scenario { shape, ..scenario(1) };
            std::thread::spawn(move || simulate(&scenario)).join().expect("a run that ends")
        };
        assert_eq!(run(), run(), "{shape:?}");
    }
}

/// Another process has other hash seeds, other addresses, and other times.
#[test]
fn a_seed_gives_the_same_trace_in_another_process() {
    for seed in REPEATED {
        let program = env!("CARGO_BIN_EXE_klamm-sim");
        let output = Command::new(program).args(["--seed", &seed.to_string()]).output().expect("it runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let trace = format!("trace {:016x} ", run(seed).recorded.hash);
        assert!(printed.contains(&trace), "seed {seed}: {trace} here, and there {printed}");
    }
}

#[test]
fn nothing_goes_wrong_in_a_few_seeds() {
    for seed in 0..8 {
        let outcome = run(seed);
        assert!(outcome.recorded.violations.is_empty(), "seed {seed}: {:?}", outcome.recorded.violations);
        assert!(outcome.counts.acknowledged > 0, "seed {seed} did nothing");
    }
}

#[test]
fn a_failing_run_gets_shorter_and_still_fails() {
    let plant = klamm_sim::Plant::named("wrong-offset");
    let whole = Scenario { plant, ..scenario(1) };
    let (shorter, outcome) = klamm_sim::shrunk(&whole, std::time::Duration::from_secs(120));
    assert!(!outcome.recorded.violations.is_empty());
    assert!(shorter.without.clients.len() > 2, "{:?}", shorter.without);
    assert_eq!(simulate(&shorter), outcome, "it can be repeated");
}
