//! Every target with its first inputs, each as it is and with some changes: what a build without instrumentation can tell.

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::LazyLock;

/// The inputs of all targets.
static CORPUS: LazyLock<PathBuf> = LazyLock::new(|| {
    let corpus = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    klamm_fuzz::seeds::write(&corpus).expect("golden data");
    corpus
});

/// Changed copies of each input.
const CHANGES: u64 = 20;

/// Runs a target with its inputs. The same ones every time.
fn replay(target: &str, run: fn(&[u8])) {
    let mut paths: Vec<_> = fs::read_dir(CORPUS.join(target))
        .expect("inputs")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no inputs");
    for path in paths {
        let input = fs::read(&path).expect("an input");
        for number in 0..=CHANGES {
            let changed = changed(&input, number);
            let outcome = catch_unwind(|| run(&changed));
            assert!(outcome.is_ok(), "{target}: {}, change {number}", path.display());
        }
    }
}

/// An input with some bytes replaced, cut out or put in; number 0 is the input itself.
fn changed(input: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + input.len() as u64 + 1);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    if number == 0 {
        return bytes;
    }
    for _ in 0..=random(4) {
        let at = random(bytes.len());
        let interesting = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8];
        let byte = interesting[random(interesting.len())];
        match random(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => drop(bytes.drain(at..(at + 1 + random(8)).min(bytes.len()))),
            _ => bytes.iter_mut().skip(at).take(1 + random(4)).for_each(|place| *place = byte),
        }
    }
    bytes
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), klamm_fuzz::$name::run);
        })*
    };
}

targets!(requests responses stored_records record_batches compression log_folder log_files metadata_log settings);
