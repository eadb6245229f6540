//! One node: a folder, and a process that can be killed, stopped and started again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Failure, Result};

/// How long a node may take to stop when asked to.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// What fills a disk.
const BALLAST: &str = "ballast";
const BALLAST_BLOCK: usize = 1 << 20;

/// A node of the cluster. Its process is killed when it is dropped; a disk of its own stays, to be looked at.
pub(crate) struct Node {
    pub(crate) id: u16,
    /// Holds its settings, its log and its data.
    folder: PathBuf,
    /// What runs it, without the file.
    command: Vec<String>,
    process: Option<Child>,
    has_own_disk: bool,
}

impl Node {
    pub(crate) fn new(id: u16, folder: PathBuf, command: Vec<String>) -> Result<Self> {
        let node = Self { id, folder, command, process: None, has_own_disk: false };
        fs::create_dir_all(node.data())?;
        Ok(node)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts the process, unless it runs.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut log = OpenOptions::new().create(true).append(true).open(self.folder.join("log.txt"))?;
        writeln!(log, "--- start")?;
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| Failure::new("the node command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(self.settings());
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let spawned = command.spawn();
        self.process = Some(spawned.map_err(|error| Failure::new(format!("cannot run {program}: {error}")))?);
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; false if it had to be killed.
    pub(crate) async fn stop(&mut self) -> Result<bool> {
        let Some(mut process) = self.process.take() else { return Ok(true) };
        kill_process(Pid::from_child(&process), Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < deadline {
            if process.try_wait()?.is_some() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        process.kill()?;
        process.wait()?;
        Ok(false)
    }

    /// Whether the process has ended though nobody asked it to.
    pub(crate) fn has_died(&mut self) -> Result<bool> {
        let Some(process) = &mut self.process else { return Ok(false) };
        let has_died = process.try_wait()?.is_some();
        if has_died {
            self.process = None;
        }
        Ok(has_died)
    }

    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(process) = &self.process {
            kill_process(Pid::from_child(process), signal)?;
        }
        Ok(())
    }

    /// Takes everything from its disk.
    pub(crate) fn wipe(&self) -> Result<()> {
        for entry in fs::read_dir(self.data())? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    /// Gives its data a disk of its own, which can be filled without filling another's.
    pub(crate) fn mount_disk(&mut self, megabytes: u32) -> Result<()> {
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(self.data()).output()?;
        if !mounted.status.success() {
            return Err(Failure::new(String::from_utf8_lossy(&mounted.stderr).trim()));
        }
        self.has_own_disk = true;
        Ok(())
    }

    /// Ends the process and takes the disk away, if it has one of its own.
    pub(crate) fn release_disk(&mut self) -> Result<()> {
        self.kill()?;
        if std::mem::take(&mut self.has_own_disk) {
            Command::new("umount").arg(self.data()).status()?;
        }
        Ok(())
    }

    /// Leaves no room on its disk.
    pub(crate) fn fill_disk(&self) -> Result<()> {
        let mut ballast = File::create(self.data().join(BALLAST))?;
        let mut block = vec![0; BALLAST_BLOCK];
        while !block.is_empty() {
            match ballast.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => block.truncate(block.len() / 2),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn free_disk(&self) -> Result<()> {
        Ok(fs::remove_file(self.data().join(BALLAST))?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing can be done about what does not work here.
        let _ = self.kill();
    }
}
