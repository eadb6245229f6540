//! `klamm topic delete`.

use clap::Args;
use klamm_client::Refusal;
use klamm_protocol::ErrorCode;

use crate::advice::sort_out;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// Delete topics and all their records
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,

    /// Pass over topics that do not exist, without an error
    #[arg(long)]
    if_exists: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Delete {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let mut outcomes = self.connection.admin()?.delete_topics(&self.topics).await?;
        if self.if_exists {
            outcomes.retain(|(_, outcome)| !is_missing(outcome));
        }
        let (deleted, result) = sort_out(outcomes, |name| format!("topic {name}"));
        let mut output = Output::stdout();
        deleted.iter().try_for_each(|(name, ())| output.line(format!("deleted {name}")))?;
        output.flush()?;
        result
    }
}

fn is_missing(outcome: &Result<(), Refusal>) -> bool {
    outcome.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}
