//! Numbered records all the while: whatever is done to the brokers meanwhile, every acknowledged record is found at its offset
//! afterwards, in order, and with an idempotent producer none is there twice.

use std::fs;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::python;
use crate::check::{Fault, Verdict};
use crate::nodes;
use crate::program::{self, Background, End};
use crate::stage::Stage;

/// For the producer to get on with its work, and at the end to be done with it.
const PROGRESS_TIME_MAX: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(5);

/// What is produced, and where to.
pub(super) struct Numbered<'a> {
    /// A broker, or several with commas in between.
    pub(super) bootstrap: &'a str,
    pub(super) topic: String,
    pub(super) is_idempotent: bool,
    pub(super) replication_factor: usize,
    /// Records a second; 0 is as many as are taken.
    pub(super) rate: usize,
}

/// A producer that runs beside the check.
pub(super) struct Producer<'a> {
    stage: &'a Stage<'a>,
    args: [String; 6],
    process: Background,
    until_closed: Option<ChildStdin>,
}

impl<'a> Producer<'a> {
    /// Makes the topic unless it is there, and starts.
    pub(super) fn start(stage: &'a Stage<'a>, what: Numbered<'_>) -> Verdict<Self> {
        let acknowledged = stage.scratch().join(format!("{}.acknowledged", what.topic));
        let Numbered { bootstrap, topic, is_idempotent, replication_factor, rate } = what;
        let path = acknowledged.to_string_lossy().into_owned();
        let [replicas, rate] = [replication_factor, rate].map(|number| number.to_string());
        let args = [bootstrap.to_owned(), topic, is_idempotent.to_string(), path, replicas, rate];
        let mut script = python::script(
            stage,
            "produce.py",
            include_str!("produce.py"),
            &args.each_ref().map(String::as_str),
        )?;
        let said = fs::File::create(Self::said_to(stage, &args))?;
        script.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        let mut process = Background::new(&mut script)?;
        let until_closed = process.child.stdin.take();
        Ok(Self { stage, args, process, until_closed })
    }

    fn said_to(stage: &Stage<'_>, args: &[String; 6]) -> PathBuf {
        stage.scratch().join(format!("{}.said", args[1]))
    }

    /// What it wrote to standard output and standard error last.
    pub(super) fn said(&self) -> String {
        nodes::tail(&Self::said_to(self.stage, &self.args))
    }

    /// How many records are acknowledged by now.
    pub(super) fn acknowledged(&self) -> usize {
        fs::read_to_string(&self.args[3]).unwrap_or_default().lines().count()
    }

    /// Waits for this many more records to be acknowledged.
    pub(super) fn wait_for(&self, more: usize) -> Verdict {
        let (start, deadline) = (self.acknowledged(), Instant::now() + PROGRESS_TIME_MAX);
        while self.acknowledged() < start + more {
            if Instant::now() > deadline {
                let expected =
                    format!("{more} records acknowledged within {} s", PROGRESS_TIME_MAX.as_secs());
                let came = format!("{}\nproducer: {}", self.acknowledged() - start, self.said());
                return Err(Fault::failed(expected, came));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets it finish what it began, then reads all that was acknowledged. How many records that were.
    pub(super) fn finish(mut self) -> Verdict<usize> {
        drop(self.until_closed.take());
        let end = program::wait(&mut self.process.child, PROGRESS_TIME_MAX)?;
        if end != End::Exit(0) {
            return Err(Fault::failed("the producer to end well", format!("{end:?}: {}", self.said())));
        }
        let args = self.args.each_ref().map(String::as_str);
        python::run(self.stage, "verify.py", include_str!("verify.py"), &args[..4])?;
        Ok(self.acknowledged())
    }
}
