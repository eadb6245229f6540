//! One run: a machine, clients, and a schedule of misfortunes, all from one seed.

use std::sync::Arc;
use std::time::Duration;

use klamm_log::disk::simulated::{Crash, Fault, Operation, Options, SimulatedDisk};
use tokio::task::LocalSet;

use crate::check::{Checks, Counts};
use crate::clock::WallClock;
use crate::machine::Machine;
use crate::network::{Cut, Net, Tap, Weather};
use crate::panics;
use crate::plants::{Plant, Plants};
use crate::random::Dice;
use crate::trace::{Recorded, Trace};
use crate::workload::{self, Workload};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// The planted bug.
    pub plant: Option<Plant>,
    /// Whether the history has the details.
    pub has_details: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The trace.
    pub recorded: Recorded,
    /// How much was checked.
    pub counts: Counts,
    /// How long it took in virtual milliseconds.
    pub virtual_ms: u64,
}

/// A disk that nothing is wrong with has this much room.
const CAPACITY_BYTES: u64 = 1 << 30;

/// Runs a scenario on the current thread.
///
/// # Panics
/// When the runtime cannot be built.
pub fn simulate(scenario: Scenario) -> Outcome {
    panics::watch();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_time().start_paused(true).build().expect("a runtime without I/O needs nothing");
    LocalSet::new().block_on(&runtime, async { Run::new(scenario).whole().await })
}

struct Run {
    machine: Machine,
    workload: Workload,
    checks: Checks,
    trace: Trace,
    dice: Dice,
    /// Whether a power loss must lose nothing.
    is_durable: bool,
}

impl Run {
    fn new(scenario: Scenario) -> Self {
        let Scenario { seed, plant, has_details } = scenario;
        let trace = Trace::new(has_details);
        let checks = Checks::new(trace.clone());
        let dice = Dice::new(seed, "misfortunes");
        let plants = Plants::new(plant, Dice::new(seed, "plants"));
        let tap = Tap::new(checks.clone(), plants.clone());
        let net = Net::new(Dice::new(seed, "network"), trace.clone(), tap);
        let is_durable = dice.percent(60);
        let options = Options { seed: dice.next(), capacity_bytes: CAPACITY_BYTES, ..Options::default() };
        let workload = Workload::new(Dice::new(seed, "workload"), net.clone(), checks.clone(), trace.clone());
        let machine = Machine {
            disk: SimulatedDisk::new(options),
            net,
            clock: WallClock::new(dice.below(400) as i64 - 200),
            trace: trace.clone(),
            plants: plants.clone(),
            dice: Dice::new(seed, "machine"),
            schedule: Dice::new(seed, "schedule"),
            settings: settings(is_durable && !plants.ignores_flushing()),
            process: Arc::default(),
            server: None,
        };
        Self { machine, workload, checks, trace, dice, is_durable }
    }

    async fn whole(mut self) -> Outcome {
        self.trace.note(format_args!("flushing before answers: {}", self.is_durable));
        if let Err(reason) = self.play().await {
            self.trace.violation(reason);
        }
        self.machine.process.bury().await;
        panics::take().iter().for_each(|panic| self.trace.violation(panic));
        Outcome {
            recorded: self.trace.recorded(),
            counts: self.checks.counts(),
            virtual_ms: self.trace.now_ms(),
        }
    }

    async fn play(&mut self) -> Result<(), String> {
        self.machine.start().await?;
        workload::create_topics(&self.workload).await?;
        let clients = self.workload.start();
        let end_ms = self.trace.now_ms() + self.dice.within(6_000..15_000);
        while self.trace.now_ms() < end_ms && !self.trace.is_violated() && !panics::any() {
            let pause = Duration::from_millis(self.dice.within(50..2500));
            let process = self.machine.process.clone();
            tokio::select! {
                biased;
                () = process.dead() => self.after_fall().await?,
                () = tokio::time::sleep(pause) => self.misfortune().await?,
            }
        }
        self.recover().await?;
        self.workload.stop();
        for client in clients {
            if tokio::time::timeout(Duration::from_secs(90), client).await.is_err() {
                return Err("a client does not come to its end".to_owned());
            }
        }
        self.audit().await
    }

    /// Everything is read once more, before and after a clean restart, and the folders are looked at.
    async fn audit(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            if self.trace.is_violated() {
                return Ok(());
            }
            if !workload::audit(&self.workload).await {
                return Err("not everything can be read".to_owned());
            }
            self.machine.stop().await?;
            self.machine.verify();
            self.machine.start().await?;
        }
        self.machine.stop().await
    }

    async fn misfortune(&mut self) -> Result<(), String> {
        match self.dice.below(12) {
            0 | 1 => self.crash(Crash::Process).await,
            2 => self.crash(Crash::Power).await,
            3 => self.restart().await,
            4 => {
                let operations = self.dice.below(300);
                self.trace.note(format_args!("the machine goes down after {operations} operations"));
                self.machine.disk.crash_after(operations);
                Ok(())
            }
            5 => {
                let room = self.dice.below(20_000);
                self.trace.note(format_args!("the disk has {room} bytes left"));
                self.machine.disk.set_capacity(self.machine.disk.used_bytes() + room);
                Ok(())
            }
            6 => {
                self.io_error();
                Ok(())
            }
            7 => {
                let by_ms = self.dice.below(7_200_000) as i64 - 3_600_000;
                self.trace.note(format_args!("the clock jumps by {by_ms} ms"));
                self.machine.clock.jump(by_ms);
                Ok(())
            }
            8 | 9 => {
                let how = *self.dice.pick(&[Cut::Reset, Cut::Deaf]);
                self.trace.note(format_args!("connections are cut: {how:?}"));
                self.machine.net.cut(how, self.dice.within(1..4));
                Ok(())
            }
            _ => {
                let weather = Weather {
                    slow_percent: self.dice.below(60),
                    slow_ms_max: self.dice.within(1..400),
                    is_deaf: self.dice.percent(20),
                };
                self.trace.note(format_args!("the network changes: {weather:?}"));
                self.machine.net.set_weather(weather);
                Ok(())
            }
        }
    }

    fn io_error(&self) {
        let operation =
            *self.dice.pick(&[Operation::Write, Operation::Sync, Operation::Read, Operation::Open]);
        let path = *self.dice.pick(&["topic-a", "topic-b", "__consumer_offsets", "checkpoint"]);
        self.trace.note(format_args!("{operation:?} of {path} fails once"));
        self.machine.disk.inject(Fault::once(operation, path, std::io::ErrorKind::Other));
    }

    /// The machine went down by itself, in the middle of an operation of the disk.
    async fn after_fall(&mut self) -> Result<(), String> {
        let crash = *self.dice.pick(&[Crash::Process, Crash::Power]);
        self.crash(crash).await
    }

    async fn crash(&mut self, crash: Crash) -> Result<(), String> {
        let cut = match crash {
            Crash::Power => Some(Cut::Deaf),
            Crash::Process => self.dice.percent(50).then_some(Cut::Reset),
        };
        self.machine.crash(crash, cut).await;
        if crash == Crash::Power && !self.is_durable {
            self.checks.forgive_losses();
        }
        self.start_again().await
    }

    async fn restart(&mut self) -> Result<(), String> {
        if let Err(reason) = self.machine.stop().await {
            self.trace.note(format_args!("the broker does not stop in order: {reason}"));
        }
        self.start_again().await
    }

    /// Starts the broker after a while. What is wrong with the disk may keep it from starting; after that nothing may.
    async fn start_again(&mut self) -> Result<(), String> {
        self.checks.process_ended();
        tokio::time::sleep(Duration::from_millis(self.dice.below(1500))).await;
        self.machine.net.reset_deaf();
        if self.dice.percent(50) {
            self.heal();
        }
        while self.machine.start().await.is_err() {
            let was_down = self.machine.disk.is_down();
            let crash = *self.dice.pick(&[Crash::Process, Crash::Power]);
            if was_down {
                self.machine.disk.restart(crash);
                if crash == Crash::Power && !self.is_durable {
                    self.checks.forgive_losses();
                }
            }
            self.heal();
            self.machine.disk.restart(Crash::Process);
            if !was_down {
                return self
                    .machine
                    .start()
                    .await
                    .map_err(|reason| format!("the broker does not start again: {reason}"));
            }
        }
        Ok(())
    }

    fn heal(&self) {
        self.trace.note("disk and network are well");
        self.machine.disk.heal();
        self.machine.disk.set_capacity(CAPACITY_BYTES);
        self.machine.net.set_weather(Weather::FAIR);
    }

    /// No more misfortunes: whatever state the broker is in, a restart must bring it back.
    async fn recover(&mut self) -> Result<(), String> {
        self.trace.note("no more misfortunes");
        self.heal();
        self.machine.crash(Crash::Process, Some(Cut::Reset)).await;
        self.checks.process_ended();
        self.machine.start().await?;
        self.workload.pause(2000).await;
        Ok(())
    }
}

fn settings(is_durable: bool) -> Vec<String> {
    let mut settings: Vec<String> = [
        "offsets.topic.num.partitions=2",
        "group.initial.rebalance.delay.ms=100",
        "group.min.session.timeout.ms=1000",
        "num.recovery.threads.per.data.dir=1",
        "log.initial.task.delay.ms=700",
        "log.flush.offset.checkpoint.interval.ms=1500",
        "replica.high.watermark.checkpoint.interval.ms=1500",
        "log.retention.check.interval.ms=2000",
        "auto.create.topics.enable=false",
    ]
    .map(str::to_owned)
    .into();
    if is_durable {
        settings.push("log.flush.interval.messages=1".to_owned());
    }
    settings
}
