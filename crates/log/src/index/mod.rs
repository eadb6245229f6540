//! The three indexes of a segment, in Kafka's files.
//!
//! All are searched in the file, not in memory, so an idle partition costs nothing. New entries of the offset and time index
//! wait in memory and are written a few dozen at a time; a crash loses only entries that recovery makes again. Kafka
//! allocates its active index files ahead: zeros behind the last entry are not entries.

mod offset;
mod time;
mod transaction;

pub(crate) use offset::OffsetIndex;
pub use offset::{OffsetPosition, read_offset_index};
pub(crate) use time::TimeIndex;
pub use time::{TimestampOffset, read_time_index};
pub(crate) use transaction::TransactionIndex;
pub use transaction::{AbortedTransaction, read_transaction_index};

use std::io;

use crate::disk::{self, File};

/// Counts the entries of `SIZE` bytes in a file, without the zeros that may follow the last.
///
/// An all-zero entry is never written behind another one, and entries ascend, so the first zero one is found by halving.
fn count_entries<const SIZE: usize>(file: &dyn File) -> io::Result<u32> {
    let (mut low, mut high) = (0, file.size()? / SIZE as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        if read_entry::<SIZE>(file, middle)? == [0; SIZE] {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    u32::try_from(low).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the index is too large"))
}

fn read_entry<const SIZE: usize>(file: &dyn File, number: u64) -> io::Result<[u8; SIZE]> {
    let mut entry = [0; SIZE];
    disk::read_exact_at(file, &mut entry, number * SIZE as u64)?;
    Ok(entry)
}

fn read_all_entries<const SIZE: usize>(file: &dyn File) -> io::Result<Vec<[u8; SIZE]>> {
    let mut bytes = vec![0; count_entries::<SIZE>(file)? as usize * SIZE];
    disk::read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes.as_chunks().0.to_vec())
}

/// How many of the first `count` entries fulfil `is_low`, where those that do come first.
fn partition_point<E>(count: u32, mut is_low: impl FnMut(u32) -> Result<bool, E>) -> Result<u32, E> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_low(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
