//! `klamm start`: the broker.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use klamm_broker::Server;
use klamm_broker::environment::{Environment, Place};
use klamm_config::load::{LoadError, Loaded, Options, load};

use crate::failure::Failure;
use crate::{environment, signals};

const EXAMPLES: &str = "\
Examples:
  klamm start                                           on 127.0.0.1:9092, data in ./klamm-data
  klamm start --data /var/lib/klamm --listen 192.168.1.7:9092
  klamm start --config server.properties                a Kafka broker's file, as it is
  klamm start --set num.partitions=3 --set log.retention.hours=24

--set counts over --data, and both over the file. The first start of a node that is a cluster of its own formats
its data folder; the nodes of a larger cluster are formatted with klamm format.
Ctrl-C or SIGTERM stops a node that is alone within a second. All settings: klamm settings";

/// Run a node: broker, controller, or both
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Start {
    /// A Kafka server.properties
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A setting, several times if need be
    #[arg(short, long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// The folder for all data (log.dirs); ./klamm-data where no setting names one
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The address to serve clients on; 127.0.0.1:9092 where no setting names one
    #[arg(short, long, value_name = "HOST:PORT")]
    listen: Option<String>,

    /// Stop as soon as standard input is closed, which it is when the process that holds its other end has ended
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

impl Start {
    /// Runs the broker until it is asked to stop, or cannot go on.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let loaded = self.load()?;
        let (environment, threads) = environment::start(loaded.node.worker_threads)?;
        let (outcome, result) = std::sync::mpsc::channel();
        let (control, stops_with_stdin) = (environment.clone(), self.stop_with_stdin);
        environment.spawn(Place::Control, move || async move {
            let stop = signals::asked_to_stop_or(stops_with_stdin.then(signals::stdin_closed));
            let _ = outcome.send(serve(loaded, control, began, stop).await);
        });
        let result = result.recv().unwrap_or_else(|_| Err(Failure::new("the broker ended without a reason")));
        threads.stop();
        result
    }

    /// The settings of file and flags, checked; what has no effect is said in the log.
    fn load(&self) -> Result<Loaded, Failure> {
        let options = Options {
            file: self.config.clone(),
            set: self.set.clone(),
            data: self.data.clone(),
            listen: self.listen.clone(),
        };
        let loaded = load(&options).map_err(all_problems)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded)
    }
}

/// A line for each problem: a file is better mended once than five times.
pub(crate) fn all_problems(error: LoadError) -> Failure {
    let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    Failure::new(problems.join("\nklamm: "))
}

async fn serve(
    loaded: Loaded,
    environment: Environment,
    began: Instant,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut stop = Box::pin(stop);
    let started = tokio::select! {
        started = klamm_broker::start(loaded, environment) => started,
        _ = &mut stop => return Ok(()),
    };
    let mut server = started.map_err(|error| Failure::new(error.to_string()))?;
    tell_ready(&server, began);
    let failed = tokio::select! {
        reason = server.failed() => Some(reason),
        _ = &mut stop => None,
    };
    let stopped = server.stop().await.map_err(|error| Failure::new(error.to_string()));
    match failed {
        Some(reason) => Err(Failure::new(reason)),
        None => stopped,
    }
}

/// The one line that a healthy broker writes.
fn tell_ready(server: &Server, began: Instant) {
    let addresses: Vec<_> =
        server.addresses().iter().map(|(name, address)| format!("{name}://{address}")).collect();
    let (node, cluster) = (server.node_id(), server.cluster_id());
    let (addresses, took) = (addresses.join(", "), began.elapsed().as_millis());
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(
        io::stderr(),
        "klamm: node {node} of cluster {cluster} is ready on {addresses} after {took} ms"
    );
}
