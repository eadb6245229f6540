//! `klamm quorum add-voter`.

use std::path::{Path, PathBuf};

use clap::Args;
use klamm_client::{Admin, Quorum, Uuid};
use klamm_config::endpoint::HostPort;
use klamm_config::load::{Loaded, Options, load};
use klamm_config::properties;

use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::quorum::QuorumConnection;
use crate::start::all_problems;

const EXAMPLES: &str = "\
Examples:
  klamm quorum add-voter --config server.properties         run on the new controller, with its own file
  klamm quorum add-voter 4 --endpoint 10.0.0.4:9093         from anywhere, while the controller runs

Format the new controller with --no-initial-controllers and start it first: it joins as an observer, and
becomes a voter when it has caught up. Add one at a time.";

/// Make a controller that follows the quorum a voter
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddVoter {
    /// The controller's node id
    #[arg(required_unless_present = "config", requires = "endpoint", value_parser = clap::value_parser!(i32).range(0..))]
    id: Option<i32>,

    /// The controller's own server.properties, which says all of the rest
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["id", "endpoint", "directory_id"])]
    config: Option<PathBuf>,

    /// Where the other controllers reach it
    #[arg(short, long, value_name = "HOST:PORT")]
    endpoint: Option<HostPort>,

    /// The name of its controller listener
    #[arg(long, value_name = "NAME", default_value = "CONTROLLER")]
    listener_name: String,

    /// Its metadata directory; looked up among the observers where not given
    #[arg(short, long, value_name = "UUID")]
    directory_id: Option<Uuid>,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    connection: QuorumConnection,
}

/// What the quorum has to know of a voter.
struct NewVoter {
    id: i32,
    directory_id: Uuid,
    /// Name, host and port.
    listeners: Vec<(String, String, u16)>,
}

impl AddVoter {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let voter = self.voter(&admin).await?;
        if !self.dry_run {
            admin.add_raft_voter(voter.id, voter.directory_id, &voter.listeners).await?;
        }
        let what = if self.dry_run { "would add" } else { "added" };
        let mut output = Output::stdout();
        output.line(format!("{what} voter {} with directory {}", voter.id, voter.directory_id))?;
        output.flush()
    }

    async fn voter(&self, admin: &Admin) -> Result<NewVoter, Failure> {
        if let Some(file) = &self.config {
            return voter_of_file(file);
        }
        let (Some(id), Some(endpoint)) = (self.id, &self.endpoint) else {
            return Err(Failure::usage("name the controller: its id and --endpoint, or --config"));
        };
        let directory_id = match self.directory_id {
            Some(directory) => directory,
            None => observed_directory(admin, id).await?,
        };
        let listener = (self.listener_name.clone(), endpoint.host.clone(), endpoint.port);
        Ok(NewVoter { id, directory_id, listeners: vec![listener] })
    }
}

async fn observed_directory(admin: &Admin, id: i32) -> Result<Uuid, Failure> {
    directory_among(&admin.describe_quorum().await?, id)
}

/// The directory that the observer follows with now: the quorum remembers its earlier ones for a while.
fn directory_among(quorum: &Quorum, id: i32) -> Result<Uuid, Failure> {
    let observed =
        quorum.observers.iter().filter(|observer| observer.id == id && observer.directory_id != Uuid::ZERO);
    match observed.max_by_key(|observer| observer.last_fetch_ms) {
        Some(observer) => Ok(observer.directory_id),
        None if quorum.voters.iter().any(|voter| voter.id == id) => Err(Failure::new(format!(
            "node {id} is a voter already; --directory-id names another disk of it"
        ))),
        None => Err(Failure::new(format!(
            "node {id} does not follow the metadata log; start it first (klamm quorum describe shows who does)"
        ))),
    }
}

fn voter_of_file(file: &Path) -> Result<NewVoter, Failure> {
    let options = Options { file: Some(file.to_owned()), ..Options::default() };
    let Loaded { node, .. } = load(&options).map_err(all_problems)?;
    if node.advertised_controller_listeners.is_empty() {
        return Err(Failure::new(format!("{}: this node is no controller", file.display())));
    }
    let reachable = node.advertised_controller_listeners.iter().map(|listener| {
        let no_host = || format!("listener {} has no host: name one in advertised.listeners", listener.name);
        let host = listener.host.clone().ok_or_else(|| Failure::new(no_host()))?;
        Ok((listener.name.clone(), host, listener.port))
    });
    let listeners = reachable.collect::<Result<Vec<_>, Failure>>()?;
    let directory_id = directory_id(&node.metadata_log_dir)?;
    Ok(NewVoter { id: node.node_id, directory_id, listeners })
}

fn directory_id(directory: &Path) -> Result<Uuid, Failure> {
    let path = directory.join("meta.properties");
    let shown = path.display();
    let bytes = std::fs::read(&path).context(|| format!("cannot read {shown}; klamm format makes it"))?;
    let properties = properties::parse(&bytes).context(|| format!("{shown} is no properties file"))?;
    let id = properties.into_iter().find(|property| property.key == "directory.id");
    id.and_then(|property| property.value.parse().ok())
        .ok_or_else(|| Failure::new(format!("{shown} has no directory.id")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use klamm_client::QuorumReplica;

    use super::*;

    fn replica(id: i32, directory: u128, last_fetch_ms: i64) -> QuorumReplica {
        QuorumReplica {
            id,
            directory_id: Uuid::from_u128(directory),
            log_end_offset: 0,
            last_fetch_ms,
            last_caught_up_ms: last_fetch_ms,
        }
    }

    #[test]
    fn the_disk_that_is_followed_with_now_gets_the_vote() {
        let quorum = Quorum {
            leader: 1,
            leader_epoch: 1,
            high_watermark: 1,
            voters: vec![replica(1, 1, 0)],
            observers: vec![replica(3, 0, 99), replica(3, 7, 10), replica(3, 8, 50), replica(3, 9, 20)],
            endpoints: BTreeMap::new(),
        };
        assert_eq!(directory_among(&quorum, 3).ok(), Some(Uuid::from_u128(8)));
        assert!(directory_among(&quorum, 1).expect_err("a voter").to_string().contains("voter already"));
        assert!(directory_among(&quorum, 4).expect_err("unknown").to_string().contains("start it first"));
    }
}
