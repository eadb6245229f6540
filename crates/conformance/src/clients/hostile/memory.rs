//! How much memory a process uses at most, looked at all the while.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(20);

pub(super) struct MemoryWatch {
    process: u32,
    kib_max: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    pub(super) fn start(process: u32) -> Self {
        let kib_max = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (max, over) = (Arc::clone(&kib_max), Arc::clone(&is_over));
        let watcher = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                max.fetch_max(resident_kib(process), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        Self { process, kib_max, is_over, watcher: Some(watcher) }
    }

    /// Resident memory now.
    pub(super) fn now_kib(&self) -> u64 {
        resident_kib(self.process)
    }

    /// The most so far.
    pub(super) fn kib_max(&self) -> u64 {
        self.kib_max.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.watcher.take().map(JoinHandle::join);
    }
}

/// 0 once the process is gone.
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
