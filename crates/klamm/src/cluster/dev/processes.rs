//! The nodes' processes: what they write, when they end, and how they are stopped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::folder::Node;
use crate::failure::{Context, Failure};
use crate::signals;

/// What happens.
pub(super) enum Event {
    /// A node has written a line.
    Line(u16, String),
    /// A node's process has ended.
    Ended(u16, ExitStatus),
    /// Somebody wants all of it to end.
    AskedToStop,
}

struct Process {
    id: u16,
    pid: Pid,
    address: String,
    is_ready: bool,
    is_running: bool,
}

/// The processes of a cluster. Those that still run are killed when it is dropped.
pub(super) struct Processes {
    processes: Vec<Process>,
    events: Receiver<Event>,
}

impl Processes {
    /// Starts all nodes; `options` are added to the command line of each.
    pub(super) fn start(nodes: &[Node], options: &[String]) -> Result<Self, Failure> {
        let (sender, events) = channel();
        let mut started = Self { processes: Vec::new(), events };
        watch_signals(sender.clone());
        for node in nodes {
            started.processes.push(start(node, options, &sender)?);
        }
        Ok(started)
    }

    pub(super) fn running(&self) -> usize {
        self.processes.iter().filter(|process| process.is_running).count()
    }

    /// Whether every node that runs has said that it is ready.
    pub(super) fn are_ready(&self) -> bool {
        self.running() > 0 && self.processes.iter().all(|process| process.is_ready || !process.is_running)
    }

    /// Where clients reach the nodes that run.
    pub(super) fn bootstrap(&self) -> String {
        let running = self.processes.iter().filter(|process| process.is_running);
        running.map(|process| process.address.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Waits for the next event.
    pub(super) fn next(&mut self) -> Event {
        // The thread that waits for signals holds a sender as long as the process lives.
        let event = self.events.recv().unwrap_or(Event::AskedToStop);
        self.note(&event);
        event
    }

    /// The next event; `None` when the time has come.
    pub(super) fn next_before(&mut self, deadline: Instant) -> Option<Event> {
        let event = self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        self.note(&event);
        Some(event)
    }

    fn note(&mut self, event: &Event) {
        let find = |processes: &mut Vec<Process>, id: u16| processes.iter().position(|p| p.id == id);
        match event {
            Event::Line(id, line) if line.contains(" is ready on ") => {
                if let Some(at) = find(&mut self.processes, *id) {
                    self.processes[at].is_ready = true;
                }
            }
            Event::Ended(id, _) => {
                if let Some(at) = find(&mut self.processes, *id) {
                    self.processes[at].is_running = false;
                }
            }
            Event::Line(..) | Event::AskedToStop => {}
        }
    }

    /// Asks all to stop.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends all at once.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes.iter().filter(|process| process.is_running) {
            // It may have ended by itself a moment ago.
            let _ = kill_process(process.pid, signal);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(node: &Node, options: &[String], sender: &Sender<Event>) -> Result<Process, Failure> {
    let binary = std::env::current_exe().context(|| "cannot find this binary".to_owned())?;
    let mut command = Command::new(binary);
    command.arg("start").arg("--stop-with-stdin").arg("--config").arg(&node.file).args(options);
    // The other end stays with the child's handle here: when this process ends, however it does, so do the nodes.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| format!("cannot start node {}", node.id))?;
    let pid = Pid::from_child(&child);
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stdout| Box::new(stdout) as _),
        child.stderr.take().map(|stderr| Box::new(stderr) as _),
    ];
    let readers = outputs.into_iter().flatten().map(|output| read_lines(node.id, output, sender.clone()));
    wait_for(node.id, child, readers.collect(), sender.clone());
    Ok(Process { id: node.id, pid, address: node.address.clone(), is_ready: false, is_running: true })
}

fn read_lines(id: u16, output: Box<dyn Read + Send>, sender: Sender<Event>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(Event::Line(id, line)).is_err() {
                return;
            }
        }
    })
}

/// Tells of a process's end after its last line.
fn wait_for(id: u16, mut child: Child, readers: Vec<thread::JoinHandle<()>>, sender: Sender<Event>) {
    // Waiting for the child would close its input.
    let input = child.stdin.take();
    thread::spawn(move || {
        for reader in readers {
            // A reader that has panicked has read what it could.
            let _ = reader.join();
        }
        if let Ok(status) = child.wait() {
            // Nobody may be left who wants to know.
            let _ = sender.send(Event::Ended(id, status));
        }
        drop(input);
    });
}

fn watch_signals(sender: Sender<Event>) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        while runtime.block_on(signals::asked_to_stop()).is_ok() && sender.send(Event::AskedToStop).is_ok() {}
    });
}
