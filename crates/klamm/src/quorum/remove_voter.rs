//! `klamm quorum remove-voter`.

use clap::Args;
use klamm_client::{Quorum, Uuid};

use crate::failure::Failure;
use crate::output::Output;
use crate::quorum::QuorumConnection;

const EXAMPLES: &str = "\
Examples:
  klamm quorum remove-voter 3
  klamm quorum remove-voter 3 --directory-id 07R5amHmR32VDA6jHkGbTA      only if it votes with this disk

A majority of the voters that remain has to be up. A static quorum (controller.quorum.voters) cannot be changed.";

/// Take a controller's vote away; it goes on as an observer until it is stopped
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RemoveVoter {
    /// The voter's node id
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    id: i32,

    /// Its metadata directory; looked up where not given
    #[arg(short, long, value_name = "UUID")]
    directory_id: Option<Uuid>,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    connection: QuorumConnection,
}

impl RemoveVoter {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let admin = self.connection.admin()?;
        let directory = match self.directory_id {
            Some(directory) => directory,
            None => directory_of(&admin.describe_quorum().await?, self.id)?,
        };
        if !self.dry_run {
            admin.remove_raft_voter(self.id, directory).await?;
        }
        let what = if self.dry_run { "would remove" } else { "removed" };
        let mut output = Output::stdout();
        output.line(format!("{what} voter {} with directory {directory}", self.id))?;
        output.flush()
    }
}

fn directory_of(quorum: &Quorum, id: i32) -> Result<Uuid, Failure> {
    let directories: Vec<Uuid> =
        quorum.voters.iter().filter(|voter| voter.id == id).map(|voter| voter.directory_id).collect();
    match directories.as_slice() {
        [] => {
            Err(Failure::new(format!("node {id} is no voter; klamm quorum describe shows those there are")))
        }
        [Uuid::ZERO] => Err(Failure::new(
            "the quorum is static: its voters are those of controller.quorum.voters in the nodes' files",
        )),
        [directory] => Ok(*directory),
        several => {
            let several: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Failure::new(format!(
                "node {id} votes with several directories; name one with --directory-id: {}",
                several.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use klamm_client::QuorumReplica;

    use super::*;

    fn quorum(voters: &[(i32, u128)]) -> Quorum {
        let voter = |(id, directory): &(i32, u128)| QuorumReplica {
            id: *id,
            directory_id: Uuid::from_u128(*directory),
            log_end_offset: 0,
            last_fetch_ms: 0,
            last_caught_up_ms: 0,
        };
        Quorum {
            leader: 1,
            leader_epoch: 1,
            high_watermark: 1,
            voters: voters.iter().map(voter).collect(),
            observers: Vec::new(),
            endpoints: BTreeMap::new(),
        }
    }

    #[test]
    fn the_directory_is_looked_up_where_there_is_one() {
        assert_eq!(directory_of(&quorum(&[(1, 7), (2, 8)]), 2).ok(), Some(Uuid::from_u128(8)));
        let table =
            [(&[(1, 7)][..], "is no voter"), (&[(2, 7), (2, 8)], "--directory-id"), (&[(2, 0)], "static")];
        for (voters, part) in table {
            let failure = directory_of(&quorum(voters), 2).expect_err("none or several").to_string();
            assert!(failure.contains(part), "{failure}");
        }
    }
}
