//! Input: a `server.properties` file.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use klamm_config::load::{Options, load};

/// A folder in memory, where there is one.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { env::temp_dir() };
    folder.join(format!("klamm-fuzz-{}.properties", process::id()))
});

/// Either settings or a list of what is wrong with them, each with a place and words that can be shown.
pub fn run(content: &[u8]) {
    fs::write(&*FILE, content).expect("a file can be written");
    let loaded = load(&Options { file: Some(FILE.clone()), ..Options::default() });
    fs::remove_file(&*FILE).expect("and removed");
    match loaded {
        Ok(loaded) => loaded.warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
