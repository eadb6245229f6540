//! A node on a simulated disk, which outlives it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use klamm_broker::environment::{Clock, Environment, Place, SystemClock, SystemRandom};
use klamm_broker::{FormatOptions, InitialControllers, WorkerThreads};
use klamm_config::load::{Loaded, Options, load};
use klamm_log::disk::simulated::{Crash, SimulatedDisk};
use klamm_log::disk::{self, Disk};
use klamm_metadata::ControlRecord;
use klamm_metadata::log_batch::{BatchContents, decode_batch};
use klamm_net::TcpNetwork;
use klamm_protocol::{Decode, IntoStatic, Reader, Request, Writer, frame, header};
use klamm_records::batches;
use tokio::sync::oneshot;

/// How long a test waits for what takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const CLUSTER_ID: &str = "vJFxmYduShmm2svOZLeA8Q";

/// A folder and its settings; running or not.
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) port: u16,
    disk: SimulatedDisk,
    pub(crate) clock: SetClock,
    settings: Vec<String>,
    running: Option<Running>,
}

/// The machine's clocks, of which the wall clock can be set.
#[derive(Clone, Default)]
pub(crate) struct SetClock(Arc<AtomicI64>);

impl SetClock {
    pub(crate) fn jump(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> i64 {
        SystemClock.monotonic_ms()
    }
}

struct Running {
    threads: Arc<WorkerThreads>,
    stop: Option<oneshot::Sender<()>>,
    ended: Receiver<Result<(), String>>,
}

/// A port that nobody has right now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Node {
    /// A controller that is not formatted yet. `others` says how it finds the rest, as a setting.
    pub(crate) fn controller(id: i32, port: u16, others: &str) -> Self {
        let settings = [
            "process.roles=controller".to_owned(),
            format!("node.id={id}"),
            format!("listeners=CONTROLLER://127.0.0.1:{port}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "log.dirs=/data".to_owned(),
            others.to_owned(),
        ];
        let disk = SimulatedDisk::seeded(id as u64);
        Self { id, port, disk, clock: SetClock::default(), settings: settings.to_vec(), running: None }
    }

    /// Adds a setting.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    fn loaded(&self) -> Loaded {
        load(&Options { set: self.settings.clone(), ..Options::default() }).unwrap()
    }

    fn environment(&self, threads: &Arc<WorkerThreads>) -> Environment {
        Environment {
            network: Arc::new(TcpNetwork),
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(SystemRandom),
            executors: threads.clone(),
        }
    }

    pub(crate) fn format(&self, controllers: InitialControllers) -> &Self {
        let options = FormatOptions {
            cluster_id: CLUSTER_ID.to_owned(),
            controllers,
            release_version: None,
            features: Default::default(),
            ignore_formatted: false,
        };
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        klamm_broker::format(&self.environment(&threads), &self.loaded().node, &options).unwrap();
        threads.stop();
        self
    }

    /// Starts it, without waiting until it is taken in.
    pub(crate) fn start(&mut self) {
        let loaded = self.loaded();
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = self.environment(&threads);
        let (end, ended) = channel();
        let (stop, stopped) = oneshot::channel();
        let starting = environment.clone();
        environment.spawn(Place::Control, move || async move {
            let started = klamm_broker::start(loaded, starting);
            let mut stopped = std::pin::pin!(stopped);
            let mut server = tokio::select! {
                started = started => match started {
                    Ok(server) => server,
                    Err(error) => return end.send(Err(error.to_string())).unwrap(),
                },
                _ = &mut stopped => return,
            };
            let result = tokio::select! {
                reason = server.failed() => Err(reason),
                _ = stopped => server.stop().await.map_err(|error| error.to_string()),
            };
            let _ = end.send(result);
        });
        self.running = Some(Running { threads, stop: Some(stop), ended });
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        drop(running.stop.take());
        let _ = running.ended.recv_timeout(PATIENCE);
        running.threads.stop();
    }

    /// From its next start on it listens elsewhere.
    pub(crate) fn move_to(&mut self, port: u16) {
        let (old, new) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{port}"));
        let listeners = self.settings.iter_mut().find(|setting| setting.starts_with("listeners="));
        let listeners = listeners.unwrap();
        *listeners = listeners.replace(&old, &new);
        self.port = port;
    }

    /// Where its metadata log says that the voters listen.
    pub(crate) fn voter_ports(&self) -> Vec<(i32, u16)> {
        let bytes = self.log_bytes();
        let batches = batches(&bytes).filter_map(|batch| decode_batch(&batch.ok()?).ok());
        let controls = batches.filter_map(|batch| match batch.contents {
            BatchContents::Control(records) => Some(records),
            BatchContents::Metadata(_) => None,
        });
        let newest = controls.flatten().filter_map(|record| match record {
            ControlRecord::Voters(record) => Some(record),
            _ => None,
        });
        let voters = newest.last().map(|record| record.voters).unwrap_or_default();
        voters.iter().map(|voter| (voter.voter_id, voter.endpoints[0].port)).collect()
    }

    /// Ends it at once, as a kill does.
    pub(crate) fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.threads.stop();
        self.disk.restart(Crash::Process);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Why it ended, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.running.as_ref()?.ended.try_recv().ok()?.err()
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Sends a request and waits for the answer; none where nobody answers.
    pub(crate) fn ask<R: Request>(&self, request: &R, version: i16) -> Option<R::Response<'static>> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut writer = Writer::new();
        frame::encode_request(&mut writer, request, version, 1, None).unwrap();
        stream.write_all(writer.as_bytes()).ok()?;
        let mut size = [0; 4];
        stream.read_exact(&mut size).ok()?;
        let mut response = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut response).ok()?;
        let mut reader = Reader::new(&response);
        header::decode_response(&mut reader, R::KEY, version).unwrap();
        Some(R::Response::decode(&mut reader, version).unwrap().into_static())
    }

    /// The bytes of the first segment of its metadata log.
    pub(crate) fn log_bytes(&self) -> Vec<u8> {
        let path = Path::new("/data/__cluster_metadata-0/00000000000000000000.log");
        disk::read_file(&self.disk, path, 64 * 1024 * 1024).unwrap_or_default()
    }

    /// The names of its metadata snapshots.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let entries = self.disk.list(Path::new("/data/__cluster_metadata-0")).unwrap_or_default();
        let names = entries.into_iter().map(|entry| entry.name);
        names.filter(|name| name.ends_with(".checkpoint")).collect()
    }

    /// The id of its directory.
    pub(crate) fn directory_id(&self) -> klamm_protocol::Uuid {
        let meta = disk::read_file(&self.disk, Path::new("/data/meta.properties"), 10_000).unwrap();
        let meta = String::from_utf8(meta).unwrap();
        let id = meta.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap();
        id.replace('\\', "").parse().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.threads.stop();
        }
    }
}
