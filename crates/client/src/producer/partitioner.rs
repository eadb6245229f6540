//! Which partition a record goes to.
//!
//! A key's partition is the Java client's, bit for bit, so that all clients of a topic agree. Records without a
//! key stay on one partition until a batch's worth of bytes went there and then move to another (KIP-794): large
//! batches, evenly spread.

/// The 32-bit murmur2 hash as the Java client computes it.
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ data.len() as u32;
    let words = data.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> R)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// The partition of a key among `partition_count` (> 0) partitions.
pub fn partition_for_key(key: &[u8], partition_count: i32) -> i32 {
    (murmur2(key) & i32::MAX) % partition_count
}

/// The sticky choice for records without a key, one for each topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StickyPartition {
    current: i32,
    bytes: usize,
    random: u64,
}

impl StickyPartition {
    /// `seed` decides the order in which partitions are visited.
    pub(crate) fn new(seed: u64, partition_count: i32) -> Self {
        let mut sticky = Self { current: 0, bytes: 0, random: seed | 1 };
        sticky.switch(partition_count);
        sticky
    }

    /// The partition for the next record.
    pub(crate) fn current(&self) -> i32 {
        self.current
    }

    /// Accounts for a record and moves on once `bytes_max` went to the partition.
    pub(crate) fn record(&mut self, bytes: usize, bytes_max: usize, partition_count: i32) {
        self.bytes += bytes;
        if self.bytes >= bytes_max {
            self.switch(partition_count);
        }
    }

    fn switch(&mut self, partition_count: i32) {
        // xorshift64: cheap, and nothing depends on its quality.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let others = (partition_count - 1).max(1) as u64;
        let step = 1 + (self.random % others) as i32;
        self.current = (self.current + step) % partition_count;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_java() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn key_partitions_are_never_negative() {
        assert_eq!(partition_for_key(b"21", 3), (-973_932_308 & i32::MAX) % 3);
        assert!((0..1000_u32).all(|n| (0..7).contains(&partition_for_key(&n.to_be_bytes(), 7))));
    }

    #[test]
    fn sticky_stays_for_a_batch_and_then_moves() {
        let mut sticky = StickyPartition::new(7, 3);
        let mut seen = [0; 3];
        for _ in 0..300 {
            let before = sticky.current();
            sticky.record(60, 100, 3);
            assert_eq!(sticky.current(), before, "half a batch does not move it");
            sticky.record(60, 100, 3);
            assert_ne!(sticky.current(), before, "a whole batch does");
            seen[before as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        let mut alone = StickyPartition::new(7, 1);
        alone.record(1000, 1, 1);
        assert_eq!(alone.current(), 0);
    }
}
