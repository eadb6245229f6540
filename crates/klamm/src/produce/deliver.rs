//! Hands records to the producer and watches what becomes of them.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};

use klamm_client::{Delivered, Delivery, DeliveryError, Producer, ProducerRecord, SendError};
use klamm_records::Header;
use tokio::sync::mpsc;

use crate::advice::explain_code;
use crate::failure::Failure;
use crate::output::Output;
use crate::produce::record::NewRecord;
use crate::produce::source::Chunk;
use crate::progress_line::ProgressLine;

/// Records on their way to one topic.
pub(crate) struct Deliverer<'a> {
    producer: &'a Producer,
    topic: &'a str,
    /// Where to print partition and offset of each record, if at all.
    output: Option<Output>,
    /// Sent and not known to be written yet, in the order of the input.
    pending: VecDeque<Delivery>,
    written: u64,
    progress: ProgressLine,
}

impl<'a> Deliverer<'a> {
    pub(crate) fn new(producer: &'a Producer, topic: &'a str, output: Option<Output>) -> Self {
        // Where records are typed in, or their offsets are shown, the terminal is in use.
        let is_quiet = !io::stdin().is_terminal() && output.is_none();
        let progress = ProgressLine::new(is_quiet);
        Self { producer, topic, output, pending: VecDeque::new(), written: 0, progress }
    }

    /// Sends everything and waits until all of it is written. The first thing that goes wrong ends it; what was sent
    /// before it is written all the same.
    pub(crate) async fn deliver_all(&mut self, mut chunks: mpsc::Receiver<Chunk>) -> Result<(), Failure> {
        let sent = self.send_all(&mut chunks).await;
        let written = self.settle_all().await;
        sent.and(written).map_err(|failure| match self.written {
            0 => failure,
            count => Failure::new(format!("{failure} ({count} records before it were written)")),
        })
    }

    async fn send_all(&mut self, chunks: &mut mpsc::Receiver<Chunk>) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                chunk = chunks.recv() => match chunk {
                    Some(chunk) => self.send_chunk(chunk?).await?,
                    None => return Ok(()),
                },
                outcome = settled(&self.pending), if !self.pending.is_empty() => {
                    self.pending.pop_front();
                    self.note(outcome)?;
                }
            }
            self.note_settled()?;
        }
    }

    async fn send_chunk(&mut self, records: Vec<NewRecord>) -> Result<(), Failure> {
        for record in records {
            let headers: Vec<Header<'_>> = record.headers.iter().map(header).collect();
            let record = ProducerRecord {
                topic: self.topic,
                partition: record.partition,
                timestamp_ms: record.timestamp_ms,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            let delivery = self.producer.send(record).await.map_err(not_sent)?;
            self.pending.push_back(delivery);
        }
        Ok(())
    }

    /// Notes all outcomes that are known, in order, without waiting.
    fn note_settled(&mut self) -> Result<(), Failure> {
        while let Some(outcome) = self.pending.front().and_then(Delivery::try_get) {
            self.pending.pop_front();
            self.note(outcome)?;
        }
        self.progress.show(|| format!("{} records written", self.written));
        match &mut self.output {
            Some(output) => output.flush(),
            None => Ok(()),
        }
    }

    async fn settle_all(&mut self) -> Result<(), Failure> {
        self.producer.flush().await;
        while let Some(delivery) = self.pending.pop_front() {
            self.note(delivery.await)?;
        }
        self.note_settled()
    }

    fn note(&mut self, outcome: Result<Delivered, DeliveryError>) -> Result<(), Failure> {
        let delivered = outcome.map_err(not_written)?;
        self.written += 1;
        let Some(output) = &mut self.output else { return Ok(()) };
        let offset = delivered.offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        output.line(format!("{} {offset}", delivered.partition))
    }
}

/// The outcome of the oldest.
async fn settled(pending: &VecDeque<Delivery>) -> Result<Delivered, DeliveryError> {
    match pending.front() {
        Some(delivery) => delivery.clone().await,
        None => std::future::pending().await,
    }
}

fn header((name, value): &(String, Option<Vec<u8>>)) -> Header<'_> {
    Header { key: name.as_bytes(), value: value.as_deref() }
}

fn not_sent(error: SendError) -> Failure {
    match error {
        SendError::UnknownTopic { topic, code } => {
            Failure::new(format!("topic {topic}: {}", explain_code(code)))
        }
        SendError::Lookup { source, .. } => source.into(),
        _ => Failure::new(error.to_string()),
    }
}

fn not_written(error: DeliveryError) -> Failure {
    Failure::new(error.to_string())
}
