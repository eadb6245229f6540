//! One run: a cluster, clients, and a schedule of misfortunes, all from one seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klamm_log::disk::simulated::{Crash, Fault, Operation, Options, SimulatedDisk};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use crate::check::{Checks, Counts, differences};
use crate::clock::WallClock;
use crate::cluster::{CAPACITY_BYTES, Cluster};
use crate::machine::Machine;
use crate::network::{Cut, Net, Tap};
use crate::panics;
use crate::plants::{Plant, Plants};
use crate::process::DISK_DELAY_MS_MAX;
use crate::random::Dice;
use crate::schedule::{Misfortune, Schedule, Without};
use crate::shape::{LOG_DIRS, Layout, Shape, broker_address};
use crate::trace::{Recorded, Trace};
use crate::workload::{self, Workload};

/// What to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// The cluster.
    pub shape: Shape,
    /// The planted bug.
    pub plant: Option<Plant>,
    /// What is left out of what the seed says.
    pub without: Without,
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
    /// What went wrong, each with its number and time.
    pub schedule: Vec<(usize, String)>,
}

/// How often the nodes are looked into.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long clients may take to end once nothing goes wrong any more.
const END_OF_CLIENTS: Duration = Duration::from_secs(90);

/// Longer than any process stands still.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Runs a scenario on the current thread.
///
/// # Panics
/// When the runtime cannot be built.
pub fn simulate(scenario: &Scenario) -> Outcome {
    panics::watch();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_time().start_paused(true).build().expect("a runtime without I/O needs nothing");
    LocalSet::new().block_on(&runtime, async { Run::new(scenario).whole().await })
}

struct Run {
    cluster: Cluster,
    net: Net,
    workload: Workload,
    checks: Checks,
    trace: Trace,
    schedule: Schedule,
    without: Without,
    is_durable: bool,
}

impl Run {
    fn new(scenario: &Scenario) -> Self {
        let Scenario { seed, shape, plant, without, has_details } = scenario.clone();
        let trace = Trace::new(has_details);
        let checks = Checks::new(trace.clone());
        let dice = Dice::new(seed, "misfortunes");
        let plants = Plants::new(plant, Dice::new(seed, "plants"));
        let tap = Tap::new(checks.clone(), plants.clone());
        let net = Net::new(Dice::new(seed, "network"), trace.clone(), tap);
        let is_durable = dice.percent(60);
        let schedule = Schedule::draw(&dice, shape.nodes(), is_durable);
        let has_dynamic_voters = shape != Shape::One && Dice::new(seed, "quorum").percent(50);
        let layout = Layout { shape, has_dynamic_voters, is_durable };
        let workload = Workload::new(seed, layout, net.clone(), checks.clone(), trace.clone());
        let machine = |node| machine(seed, layout, node, is_durable, &net, &trace, &plants);
        let machines = (0..shape.nodes()).map(machine).collect();
        let cluster = Cluster::new(machines, net.clone(), checks.clone(), trace.clone(), dice, is_durable);
        Self { cluster, net, workload, checks, trace, schedule, without, is_durable }
    }

    async fn whole(mut self) -> Outcome {
        self.trace.note(format_args!("flushing before answers: {}", self.is_durable));
        if let Err(reason) = self.play().await {
            self.trace.violation(reason);
        }
        self.cluster.bury().await;
        panics::take().iter().for_each(|panic| self.trace.violation(panic));
        Outcome {
            recorded: self.trace.recorded(),
            counts: self.checks.counts(),
            virtual_ms: self.trace.now_ms(),
            schedule: self.left_over(),
        }
    }

    fn left_over(&self) -> Vec<(usize, String)> {
        let steps = self.schedule.steps.iter().enumerate();
        let left = steps.filter(|(number, _)| !self.without.steps.contains(number));
        left.map(|(number, step)| (number, format!("{} ms: {}", step.at_ms, step.what))).collect()
    }

    async fn play(&mut self) -> Result<(), String> {
        if self.workload.shape != Shape::One {
            self.format()?;
            spawn_local(look(self.checks.clone()));
        }
        self.cluster.start_all().await?;
        workload::create_topics(&self.workload).await?;
        let clients = self.workload.start(&self.without.clients);
        self.cluster.set_fair(false);
        self.misfortunes().await?;
        match self.schedule.ends_gently {
            true => self.calm_down().await?,
            false => self.recover().await?,
        }
        self.workload.stop();
        self.end_of(clients).await?;
        self.audit().await
    }

    fn format(&self) -> Result<(), String> {
        let layout = self.workload.layout;
        let mut machines = self.cluster.machines();
        machines.try_for_each(|machine| machine.format(layout.initial_controllers(machine.node)))
    }

    async fn misfortunes(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let steps = std::mem::take(&mut self.schedule.steps);
        for (number, step) in steps.iter().enumerate() {
            if self.until(began + Duration::from_millis(step.at_ms)).await? {
                break;
            }
            if !self.without.steps.contains(&number) {
                self.trace.note(&step.what);
                self.befall(step.what.clone()).await;
            }
        }
        self.schedule.steps = steps;
        self.until(began + Duration::from_millis(self.schedule.end_ms)).await.map(drop)
    }

    /// Lets the cluster go on until a time. Returns whether the run is over, because something happened that must not.
    async fn until(&mut self, time: Instant) -> Result<bool, String> {
        while !self.trace.is_violated() && !panics::any() {
            tokio::select! {
                biased;
                turn = self.cluster.turn() => turn?,
                () = tokio::time::sleep_until(time) => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn befall(&mut self, what: Misfortune) {
        match what {
            Misfortune::Crash { nodes, crash, cut, down_ms } => {
                for node in nodes {
                    self.cluster.kill(node, crash, cut, down_ms).await;
                }
            }
            Misfortune::Restart { node, down_ms } => self.cluster.stop(node, Some(down_ms)),
            Misfortune::Fall { node, operations, crash, down_ms } => {
                self.cluster.fall(node, operations, crash, down_ms)
            }
            Misfortune::Full { node, bytes_left } => {
                let disk = &self.cluster.machine(node).disk;
                disk.set_capacity(disk.used_bytes() + bytes_left);
            }
            Misfortune::IoError { node, operation, path } => {
                let fault = Fault::once(operation, path, std::io::ErrorKind::Other);
                self.cluster.machine(node).disk.inject(fault);
            }
            Misfortune::DiskFails { node } => {
                self.trace.note(format_args!("{} of node {node} is broken", LOG_DIRS[1]));
                let path = format!("{}/", LOG_DIRS[1]);
                for operation in [Operation::Write, Operation::Sync, Operation::Truncate, Operation::Name] {
                    let fault = Fault::always(operation, &path, std::io::ErrorKind::Other);
                    self.cluster.machine(node).disk.inject(fault);
                }
            }
            Misfortune::SlowDisk { node, delay_ms_max } => {
                self.cluster.machine(node).disk_delay_ms_max.store(delay_ms_max, Ordering::Relaxed);
            }
            Misfortune::Clock { node, by_ms } => self.cluster.machine(node).clock.jump(by_ms),
            Misfortune::Pause { node, for_ms } => self.cluster.pause(node, for_ms),
            Misfortune::Connections { how, one_of } => self.net.cut(how, one_of),
            Misfortune::Weather(weather) => self.net.set_weather(weather),
            Misfortune::Blocked(pairs) => self.net.set_blocked(pairs),
            Misfortune::Heal => self.cluster.heal(),
        }
    }

    /// No more misfortunes, and nobody is killed: what hangs must come to itself, and what lags catch up.
    async fn calm_down(&mut self) -> Result<(), String> {
        self.trace.note("no more misfortunes, and no kills");
        self.cluster.heal();
        self.cluster.cancel_falls();
        self.cluster.set_fair(true);
        // Who stands still goes on by itself.
        self.until(Instant::now() + LONGEST_PAUSE).await?;
        self.cluster.start_all().await
    }

    /// No more misfortunes: whatever state the nodes are in, a restart must bring them back. Those that run are restarted one after the
    /// other: should all go down while one that lost records is still among the in-sync replicas, it may be the last known leader.
    async fn recover(&mut self) -> Result<(), String> {
        self.trace.note("no more misfortunes");
        self.cluster.heal();
        self.cluster.set_fair(true);
        let nodes = self.cluster.machines().count();
        for node in (0..nodes).filter(|node| !self.cluster.is_up(*node)).collect::<Vec<_>>() {
            self.cluster.kill(node, Crash::Process, Some(Cut::Reset), 0).await;
        }
        self.cluster.start_all().await?;
        for node in 0..nodes {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.cluster.kill(node, Crash::Process, Some(Cut::Reset), 0).await;
            self.cluster.start_all().await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn end_of(&mut self, clients: Vec<JoinHandle<()>>) -> Result<(), String> {
        for client in clients {
            if tokio::time::timeout(END_OF_CLIENTS, client).await.is_err() {
                return Err("a client does not come to its end".to_owned());
            }
        }
        Ok(())
    }

    /// Everything is read once more, before and after a clean restart, and the folders are looked at.
    async fn audit(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            if self.trace.is_violated() {
                return Ok(());
            }
            workload::wait_for_sync(&self.workload).await?;
            if !workload::audit(&self.workload).await {
                return Err("not everything can be read".to_owned());
            }
            self.cluster.stop_all().await?;
            self.cluster.machines().for_each(Machine::verify);
            self.compare_replicas()?;
            self.cluster.start_all().await?;
        }
        self.cluster.stop_all().await
    }
}

impl Run {
    /// All nodes are stopped and were in sync, and nobody has produced since.
    fn compare_replicas(&self) -> Result<(), String> {
        for partition in workload::partitions() {
            self.compare(&partition.to_string(), true)?;
        }
        for internal in ["__cluster_metadata-0", "__consumer_offsets-0", "__consumer_offsets-1"] {
            self.compare(internal, false)?;
        }
        Ok(())
    }

    fn compare(&self, folder: &str, are_in_sync: bool) -> Result<(), String> {
        let held = self.cluster.machines().filter_map(|machine| {
            let dir = machine.replica_dir(folder)?;
            Some((machine.node, &machine.disk, dir))
        });
        let held: Vec<_> = held.collect();
        let found = differences(&held, are_in_sync)?;
        found.iter().for_each(|difference| self.trace.violation(difference));
        Ok(())
    }
}

/// Looks into the nodes until the run is over.
async fn look(checks: Checks) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        checks.look();
    }
}

fn machine(
    seed: u64,
    layout: Layout,
    node: usize,
    is_durable: bool,
    net: &Net,
    trace: &Trace,
    plants: &Plants,
) -> Machine {
    let dice = Dice::new(seed, &format!("machine {node}"));
    let mut settings = layout.settings(node, is_durable && !plants.ignores_flushing());
    settings.extend(plants.settings());
    let options = Options { seed: dice.next(), capacity_bytes: CAPACITY_BYTES, ..Options::default() };
    Machine {
        node,
        disk: SimulatedDisk::new(options),
        disk_delay_ms_max: Arc::new(AtomicU64::new(DISK_DELAY_MS_MAX)),
        net: net.clone(),
        clock: WallClock::new(dice.below(400) as i64 - 200),
        trace: trace.clone(),
        plants: plants.clone(),
        schedule: Dice::new(seed, &format!("schedule {node}")),
        settings,
        listen: (layout.shape == Shape::One).then(|| broker_address(node)),
        process: Arc::default(),
        dice,
    }
}
