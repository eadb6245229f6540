//! Making a failing run shorter: without what is not needed for it to fail.
//!
//! Every step of the schedule and every client has random numbers of its own, so leaving one out changes the others only through what
//! happens. Steps are left out in halves, quarters and so on down to single ones, then clients; whatever still fails is kept.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::run::{Outcome, Scenario, simulate};
use crate::workload::CLIENT_COUNT;

/// The shortest scenario found in so much (real) time that fails as this one does, with its outcome. The scenario given must fail.
pub fn shrunk(scenario: &Scenario, patience: Duration) -> (Scenario, Outcome) {
    let mut search =
        Search { best: scenario.clone(), outcome: simulate(scenario), deadline: Instant::now() + patience };
    loop {
        let before = search.best.without.clone();
        let steps: Vec<usize> = search.outcome.schedule.iter().map(|(number, _)| *number).collect();
        search.leave_out(&steps, |without| &mut without.steps);
        let clients: Vec<usize> =
            (0..CLIENT_COUNT).filter(|client| !search.best.without.clients.contains(client)).collect();
        search.leave_out(&clients, |without| &mut without.clients);
        if search.best.without == before || search.is_late() {
            return (search.best, search.outcome);
        }
    }
}

struct Search {
    best: Scenario,
    outcome: Outcome,
    deadline: Instant,
}

impl Search {
    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn leave_out(&mut self, all: &[usize], set: fn(&mut crate::Without) -> &mut BTreeSet<usize>) {
        let mut size = all.len();
        while size > 0 && !self.is_late() {
            for chunk in all.chunks(size) {
                let mut shorter = self.best.clone();
                set(&mut shorter.without).extend(chunk);
                if !self.is_late() && shorter.without != self.best.without {
                    self.try_out(shorter);
                }
            }
            size /= 2;
        }
    }

    fn try_out(&mut self, shorter: Scenario) {
        let outcome = simulate(&shorter);
        if !outcome.recorded.violations.is_empty() {
            (self.best, self.outcome) = (shorter, outcome);
        }
    }
}
