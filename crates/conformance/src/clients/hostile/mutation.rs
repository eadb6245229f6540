//! Changing bytes at random, the same way each time for the same seed.

/// Where lengths, counts and offsets hurt.
const NASTY: [i64; 10] =
    [0, -1, -2, 1, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, 0x7fff, 0x00ff_ffff];

/// A sequence of random numbers (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 if that is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Changes bytes in one to three ways; `others` lend theirs.
    pub(super) fn mutate(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..=self.below(3) {
            match self.below(7) {
                0 => self.flip(bytes),
                1 => self.overwrite(bytes),
                2 => bytes.truncate(self.below(bytes.len())),
                3 => self.insert(bytes),
                4 => self.remove(bytes),
                5 => self.splice(bytes, others),
                _ => self.vary_header(bytes),
            }
        }
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        let bit = self.below(8);
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
    }

    fn overwrite(&mut self, bytes: &mut [u8]) {
        let nasty = self.of(&NASTY).to_be_bytes();
        let size = *self.of(&[1, 2, 4, 8]);
        let at = self.below(bytes.len());
        let place = bytes.iter_mut().skip(at);
        place.zip(&nasty[8 - size..]).for_each(|(byte, new)| *byte = *new);
    }

    fn insert(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let new: Vec<u8> = (0..=self.below(16)).map(|_| self.next() as u8).collect();
        bytes.splice(at..at, new);
    }

    fn remove(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = (at + 1 + self.below(8)).min(bytes.len());
        bytes.drain(at..end);
    }

    /// Its front, another's end.
    fn splice(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let other = self.of(others);
        bytes.truncate(self.below(bytes.len()));
        bytes.extend_from_slice(&other[self.below(other.len())..]);
    }

    /// API key and version are a frame's first bytes, and a batch's base offset.
    fn vary_header(&mut self, bytes: &mut [u8]) {
        let at = self.below(4);
        let new = self.next() as u8;
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = new);
    }
}
