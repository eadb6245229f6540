//! The newest offset of each key, in bounded memory.
//!
//! Keys are kept as two hashes of 64 bits, each with a secret of its own, so that nobody can make keys that meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// What an entry costs at most: two hashes, an offset and a byte of the table, which doubles when it is full to seven eighths.
const BYTES_PER_KEY_MAX: u64 = 2 * 25 * 8 / 7;
/// Keys that fit at least, whatever the memory.
const KEYS_MIN: u64 = 1024;

/// Newest offsets by key.
pub(super) struct OffsetMap {
    secrets: [RandomState; 2],
    offsets: HashMap<[u64; 2], i64>,
    keys_max: usize,
    end_offset: i64,
}

impl OffsetMap {
    /// A map that uses at most `bytes` of memory.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            secrets: [RandomState::new(), RandomState::new()],
            offsets: HashMap::new(),
            keys_max: (bytes / BYTES_PER_KEY_MAX).max(KEYS_MIN) as usize,
            end_offset: -1,
        }
    }

    /// Notes that the newest record so far of `key` is at `offset`. False when there is no room for another key.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let key = self.hash(key);
        if self.offsets.len() >= self.keys_max && !self.offsets.contains_key(&key) {
            return false;
        }
        self.offsets.insert(key, offset);
        true
    }

    /// The newest offset of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        self.offsets.get(&self.hash(key)).copied()
    }

    /// Every record before `offset` was noted.
    pub(super) fn note_end(&mut self, offset: i64) {
        self.end_offset = self.end_offset.max(offset);
    }

    /// Every record before it was noted; −1 when none was.
    pub(super) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.secrets.each_ref().map(|secret| secret.hash_one(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_newest_offset_of_each_key() {
        let mut map = OffsetMap::new(1 << 20);
        assert!(map.put(b"a", 1) && map.put(b"b", 2) && map.put(b"a", 3));
        assert_eq!((map.get(b"a"), map.get(b"b"), map.get(b"c")), (Some(3), Some(2), None));
    }

    #[test]
    fn takes_no_more_keys_than_fit_but_newer_offsets() {
        let mut map = OffsetMap::new(0);
        assert!((0..KEYS_MIN).all(|key| map.put(&key.to_be_bytes(), key as i64)));
        assert!(!map.put(b"one more", 5000));
        assert!(map.put(&0_u64.to_be_bytes(), 5001));
        assert_eq!(map.get(&0_u64.to_be_bytes()), Some(5001));
    }
}
