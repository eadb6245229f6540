//! The nodes of a cluster as they come and go.
//!
//! Each node is down, starting, up or stopping. What takes its time (a start, a stop) goes on by itself; [`Cluster::turn`] waits for the
//! next change and acts on it. So a node can die while it starts, and others go on meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_broker::Server;
use klamm_log::disk::simulated::Crash;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::Checks;
use crate::machine::Machine;
use crate::network::{Cut, Net, Weather};
use crate::process::DISK_DELAY_MS_MAX;
use crate::random::Dice;
use crate::trace::Trace;

/// A disk that nothing is wrong with has this much room.
pub(crate) const CAPACITY_BYTES: u64 = 1 << 30;

/// How often it is looked whether a node can go on, and how long one that cannot stays down.
const FAILURE_CHECK: Duration = Duration::from_secs(1);
const FAILED_DOWN_MS: u64 = 500;

/// The cluster.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    net: Net,
    checks: Checks,
    trace: Trace,
    dice: Dice,
    /// Whether a power loss must lose nothing.
    is_durable: bool,
    changes: JoinSet<(usize, u64, Change)>,
    /// When it is looked next whether nodes can go on.
    look_at: Instant,
    /// Nothing goes wrong any more: a start that fails is held against the node.
    is_fair: bool,
}

struct Node {
    machine: Machine,
    state: State,
    /// Counts its processes, so that what became of an earlier one is not taken for the current one's.
    life: u64,
    /// What becomes of the disk when the machine goes down in the middle of an operation, and how long it stays down.
    fall: (Crash, u64),
    /// Its disk was put right, and it has not started since.
    is_healed: bool,
    resume_at: Option<Instant>,
}

enum State {
    Down { until: Option<Instant> },
    Starting,
    Up(Server),
    Stopping { down_ms: Option<u64> },
}

enum Change {
    Started(Result<Server, String>),
    Stopped(Result<(), String>),
    Died,
}

impl Cluster {
    /// All nodes are down.
    pub(crate) fn new(
        machines: Vec<Machine>,
        net: Net,
        checks: Checks,
        trace: Trace,
        dice: Dice,
        is_durable: bool,
    ) -> Self {
        let nodes = machines.into_iter().map(Node::new).collect();
        let (changes, look_at) = (JoinSet::new(), Instant::now());
        Self { nodes, net, checks, trace, dice, is_durable, changes, look_at, is_fair: true }
    }

    /// From now on things go wrong, or no longer do.
    pub(crate) fn set_fair(&mut self, is_fair: bool) {
        self.is_fair = is_fair;
    }

    /// The machines.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.nodes.iter().map(|node| &node.machine)
    }

    /// The machine of a node.
    pub(crate) fn machine(&self, node: usize) -> &Machine {
        &self.nodes[node].machine
    }

    /// Starts all nodes that are down, and waits until all are up.
    ///
    /// # Errors
    /// Why one does not start.
    pub(crate) async fn start_all(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            if matches!(self.nodes[node].state, State::Down { .. }) {
                self.start(node);
            }
        }
        while !self.nodes.iter().all(|node| matches!(node.state, State::Up(_))) {
            self.turn().await?;
        }
        Ok(())
    }

    /// Whether a node's process runs and has come up.
    pub(crate) fn is_up(&self, index: usize) -> bool {
        matches!(self.nodes[index].state, State::Up(_))
    }

    /// Stops all nodes in order, one after the other, and waits until all are down.
    ///
    /// # Errors
    /// Why one does not stop.
    pub(crate) async fn stop_all(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.stop(node, None);
        }
        while !self.nodes.iter().all(|node| matches!(node.state, State::Down { .. })) {
            self.turn().await?;
        }
        Ok(())
    }

    /// The next change of a node, and what follows from it at once.
    ///
    /// # Errors
    /// What must not happen to a node.
    pub(crate) async fn turn(&mut self) -> Result<(), String> {
        let due =
            self.nodes.iter().filter_map(Node::due).min().map_or(self.look_at, |due| due.min(self.look_at));
        tokio::select! {
            biased;
            Some(Ok((node, life, change))) = self.changes.join_next(), if !self.changes.is_empty() => {
                if life == self.nodes[node].life {
                    self.changed(node, change).await?;
                }
            }
            () = tokio::time::sleep_until(due) => self.act(),
        }
        Ok(())
    }

    fn act(&mut self) {
        let now = Instant::now();
        for node in 0..self.nodes.len() {
            if self.nodes[node].resume_at.is_some_and(|at| at <= now) {
                self.resume(node);
            }
            if matches!(self.nodes[node].state, State::Down { until: Some(until) } if until <= now) {
                self.net.cut_from(node, Cut::Reset);
                if self.dice.percent(50) {
                    self.heal_node(node);
                }
                self.start(node);
            }
        }
        if self.look_at <= now {
            self.look_at = now + FAILURE_CHECK;
            (0..self.nodes.len()).for_each(|node| self.end_if_failed(node));
        }
    }

    /// A node that cannot go on ends itself, and whoever looks after it has the disk repaired and starts it again.
    fn end_if_failed(&mut self, index: usize) {
        let State::Up(server) = &self.nodes[index].state else { return };
        if let Some(reason) = server.failure() {
            self.trace.note(format_args!("node {index} cannot go on: {reason}"));
            self.stop(index, Some(FAILED_DOWN_MS));
        }
    }

    fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.life += 1;
        node.state = State::Starting;
        let (life, starting) = (node.life, node.machine.start());
        let process = node.machine.process.clone();
        self.changes.spawn_local(async move { (index, life, Change::Started(starting.await)) });
        self.changes.spawn_local(async move {
            process.dead().await;
            (index, life, Change::Died)
        });
    }

    /// Stops a node in order; it starts again after `down_ms`, if that is given.
    pub(crate) fn stop(&mut self, index: usize, down_ms: Option<u64>) {
        let node = &mut self.nodes[index];
        if !matches!(node.state, State::Up(_)) {
            return;
        }
        let State::Up(server) = std::mem::replace(&mut node.state, State::Stopping { down_ms }) else {
            return;
        };
        self.trace.note(format_args!("node {index} is stopped"));
        let (life, stopping) = (node.life, node.machine.stop(server));
        self.changes.spawn_local(async move { (index, life, Change::Stopped(stopping.await)) });
    }

    async fn changed(&mut self, index: usize, change: Change) -> Result<(), String> {
        match (change, &self.nodes[index].state) {
            (Change::Started(Ok(server)), State::Starting) => {
                self.trace.note(format_args!("node {index} runs"));
                self.checks.process_runs(index, server.observer());
                self.nodes[index].state = State::Up(server);
                self.nodes[index].is_healed = false;
                Ok(())
            }
            (Change::Started(Err(reason)), State::Starting) => self.start_failed(index, &reason).await,
            (Change::Stopped(stopped), State::Stopping { down_ms }) => {
                let down_ms = *down_ms;
                if let Err(reason) = &stopped {
                    self.trace.note(format_args!("node {index} does not stop in order: {reason}"));
                }
                let crash = self.fallen(index).unwrap_or(Crash::Process);
                self.end(index, crash, Some(Cut::Reset), down_ms).await;
                if self.is_fair { stopped } else { Ok(()) }
            }
            (Change::Died, State::Up(_)) => {
                let (crash, down_ms) = self.nodes[index].fall;
                self.kill(index, crash, Some(Cut::Reset), down_ms).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with the disk may keep a node from starting; once that is put right nothing may.
    async fn start_failed(&mut self, index: usize, reason: &str) -> Result<(), String> {
        self.trace.note(format_args!("node {index} does not start: {reason}"));
        let fallen = self.fallen(index);
        let was_healed = self.nodes[index].is_healed;
        self.end(index, fallen.unwrap_or(Crash::Process), Some(Cut::Reset), Some(0)).await;
        if fallen.is_none() && was_healed && (self.is_fair || self.nodes.len() == 1) {
            return Err(format!("node {index} does not start again: {reason}"));
        }
        self.heal_node(index);
        self.nodes[index].is_healed = true;
        Ok(())
    }

    /// What becomes of the disk of a machine that went down in the middle of an operation; none if it did not.
    fn fallen(&self, index: usize) -> Option<Crash> {
        let node = &self.nodes[index];
        node.machine.disk.is_down().then_some(node.fall.0)
    }

    /// Kills a node, and brings its disk to what it is after that.
    pub(crate) async fn kill(&mut self, index: usize, crash: Crash, cut: Option<Cut>, down_ms: u64) {
        if matches!(self.nodes[index].state, State::Down { .. }) {
            return;
        }
        self.trace.note(match crash {
            Crash::Process => format!("node {index} is killed"),
            Crash::Power => format!("node {index} loses its power"),
        });
        self.end(index, crash, cut, Some(down_ms)).await;
    }

    /// The process is gone. It begins again after `down_ms`, if that is given.
    async fn end(&mut self, index: usize, crash: Crash, cut: Option<Cut>, down_ms: Option<u64>) {
        let node = &mut self.nodes[index];
        node.machine.process.die();
        self.net.close_listeners(index);
        if let Some(cut) = cut {
            self.net.cut_from(index, cut);
        }
        node.machine.process.bury().await;
        node.life += 1;
        node.resume_at = None;
        let until = down_ms.map(|down_ms| Instant::now() + Duration::from_millis(down_ms));
        node.state = State::Down { until };
        node.machine.disk.restart(crash);
        if crash == Crash::Power {
            self.checks.power_lost();
        }
        if crash == Crash::Power && !self.is_durable && self.nodes.len() == 1 {
            self.checks.forgive_losses();
        }
        self.checks.process_ended(index);
    }

    /// A machine will go down after so many operations of its disk.
    pub(crate) fn fall(&mut self, index: usize, operations: u64, crash: Crash, down_ms: u64) {
        self.nodes[index].fall = (crash, down_ms);
        self.nodes[index].machine.disk.crash_after(operations);
    }

    /// No machine goes down any more that has not done so yet.
    pub(crate) fn cancel_falls(&self) {
        self.machines().for_each(|machine| machine.disk.crash_after(u64::MAX));
    }

    /// A process stands still for a while.
    pub(crate) fn pause(&mut self, index: usize, for_ms: u64) {
        self.nodes[index].machine.process.pause(true);
        self.nodes[index].resume_at = Some(Instant::now() + Duration::from_millis(for_ms));
    }

    fn resume(&mut self, index: usize) {
        self.nodes[index].resume_at = None;
        self.nodes[index].machine.process.pause(false);
    }

    /// Nothing is wrong any more with disks and network.
    pub(crate) fn heal(&mut self) {
        self.trace.note("disks and network are well");
        (0..self.nodes.len()).for_each(|node| self.heal_disk(node));
        self.net.set_weather(Weather::FAIR);
        self.net.set_blocked([]);
    }

    fn heal_node(&mut self, index: usize) {
        self.heal_disk(index);
        if self.nodes.len() == 1 {
            self.net.set_weather(Weather::FAIR);
        }
    }

    fn heal_disk(&mut self, index: usize) {
        self.trace.note(format_args!("the disk of node {index} is well"));
        let machine = &self.nodes[index].machine;
        machine.disk.heal();
        machine.disk.set_capacity(CAPACITY_BYTES);
        machine.disk_delay_ms_max.store(DISK_DELAY_MS_MAX, Ordering::Relaxed);
    }

    /// The run is over.
    pub(crate) async fn bury(&mut self) {
        for node in &self.nodes {
            node.machine.process.bury().await;
        }
    }
}

impl Node {
    fn new(machine: Machine) -> Self {
        let state = State::Down { until: None };
        Self { machine, state, life: 0, fall: (Crash::Process, 0), is_healed: false, resume_at: None }
    }

    /// When something is to be done with it.
    fn due(&self) -> Option<Instant> {
        let start_at = match self.state {
            State::Down { until } => until,
            _ => None,
        };
        start_at.into_iter().chain(self.resume_at).min()
    }
}
