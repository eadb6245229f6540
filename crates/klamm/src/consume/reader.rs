//! From the consumer to the printer, until there is a reason to stop.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use klamm_client::{ConsumeError, Consumer, Event, Records, StartAt};

use crate::advice::explain_code;
use crate::consume::printer::Printer;
use crate::consume::progress::Progress;
use crate::failure::{Context, Failure};
use crate::signals::asked_to_stop;

/// A consumer that knows what it has to read, and where the records go.
pub(crate) struct Reader {
    pub(crate) consumer: Consumer,
    pub(crate) printer: Printer,
    /// Where to stop, if there is an end.
    pub(crate) progress: Option<Progress>,
    /// Whether a group says which partitions are read, and offsets are committed.
    pub(crate) is_member: bool,
    /// How long nothing may come.
    pub(crate) timeout: Option<Duration>,
}

impl Reader {
    /// Reads until enough was read, nothing comes any more or somebody asks to stop; then leaves the group.
    pub(crate) async fn read(mut self) -> Result<(), Failure> {
        self.read_until_done().await?;
        self.printer.flush()?;
        self.consumer.close().await.context(|| "cannot commit offsets".to_owned())
    }

    async fn read_until_done(&mut self) -> Result<(), Failure> {
        let mut stop = pin!(asked_to_stop());
        while !self.is_done() {
            let event = match self.consumer.try_next() {
                Some(event) => event,
                None => {
                    self.printer.flush()?;
                    tokio::select! {
                        event = self.consumer.next() => event,
                        stopped = &mut stop => return stopped.context(|| "cannot wait for signals".to_owned()),
                        () = idle(self.timeout) => return Ok(()),
                    }
                }
            };
            self.take(event)?;
            tokio::select! {
                biased;
                stopped = &mut stop => return stopped.context(|| "cannot wait for signals".to_owned()),
                () = std::future::ready(()) => {}
            }
            // The consumer fetches ahead on this same thread.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        if !self.printer.wants_more() {
            return true;
        }
        match &self.progress {
            None => false,
            Some(progress) if self.is_member => {
                let assigned = self.consumer.assignment();
                !assigned.is_empty() && progress.is_done(&assigned)
            }
            Some(progress) => progress.is_done(progress.partitions()),
        }
    }

    fn take(&mut self, event: Result<Event, ConsumeError>) -> Result<(), Failure> {
        match event {
            Ok(Event::Records(records)) => self.print(&records),
            Ok(Event::EndOfPartition { partition, offset }) => {
                if let Some(progress) = &mut self.progress {
                    progress.reached(&partition, offset);
                }
                Ok(())
            }
            Ok(Event::Assigned(partitions)) => {
                tracing::info!("assigned {}", listed(&partitions));
                Ok(())
            }
            Ok(Event::Revoked(partitions) | Event::Lost(partitions)) => {
                tracing::info!("no longer assigned {}", listed(&partitions));
                Ok(())
            }
            Err(error @ ConsumeError::PollTimeout { .. }) => {
                tracing::warn!("{error}");
                Ok(())
            }
            Err(error) => Err(failure(error)),
        }
    }

    fn print(&mut self, records: &Records) -> Result<(), Failure> {
        let partition = records.partition();
        let end = self.progress.as_ref().and_then(|progress| progress.end(partition));
        let printed_to = self.printer.print(records, end)?;
        if let Some(progress) = &mut self.progress {
            progress.reached(partition, printed_to);
        }
        if self.is_member {
            // What is committed next has to be out of our hands, and no more than what is.
            self.printer.flush()?;
            if printed_to < records.next_offset() {
                self.consumer.seek(partition, StartAt::Offset(printed_to)).map_err(failure)?;
            }
        }
        Ok(())
    }
}

async fn idle(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => pending().await,
    }
}

fn listed(partitions: &[klamm_client::TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn failure(error: ConsumeError) -> Failure {
    match error {
        ConsumeError::Request(error) => error.into(),
        ConsumeError::Partition { partition, code } => {
            Failure::new(format!("{partition}: {}", explain_code(code)))
        }
        ConsumeError::Group { group, code } => Failure::new(format!("group {group}: {}", explain_code(code))),
        _ => Failure::new(error.to_string()),
    }
}
