//! Frames out of received bytes, each in a buffer of its own: sans-IO.
//!
//! A response's bytes are kept as long as the records in them are, so every frame gets its own allocation; a large
//! one is read straight into it. What a prefix announces is allocated only as bytes arrive.

use klamm_net::FrameError;

const CHUNK_BYTES: usize = 64 * 1024;
const PREFIX_BYTES: usize = 4;
/// The largest response that is accepted: no broker sends more than `fetch.max.bytes` and a batch.
const FRAME_BYTES_MAX: usize = i32::MAX as usize;

/// Collects received bytes into frames.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    large: Option<LargeFrame>,
}

/// A frame that reaches beyond the chunk.
#[derive(Debug)]
struct LargeFrame {
    bytes: Vec<u8>,
    filled: usize,
    size: usize,
}

impl LargeFrame {
    /// Room for what is missing, at most as much again as has arrived.
    fn spare(&mut self) -> &mut [u8] {
        let affordable = (self.filled * 2).max(CHUNK_BYTES);
        let end = self.size.min(affordable);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..]
    }
}

impl FrameReader {
    /// Where the next received bytes go. Never empty.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        match &mut self.large {
            Some(large) => large.spare(),
            None => {
                if self.chunk.is_empty() {
                    self.chunk.resize(CHUNK_BYTES, 0);
                }
                &mut self.chunk[self.end..]
            }
        }
    }

    /// The first `count` bytes of [`FrameReader::spare`] were received.
    pub(super) fn filled(&mut self, count: usize) {
        match &mut self.large {
            Some(large) => large.filled += count,
            None => self.end += count,
        }
    }

    /// The next complete frame, without its prefix. Call until it gives none before filling more.
    pub(super) fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if self.large.as_ref().is_some_and(|large| large.filled == large.size) {
            return Ok(self.large.take().map(|large| large.bytes));
        }
        if self.large.is_some() {
            return Ok(None);
        }
        let pending = &self.chunk[self.start..self.end];
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX_BYTES>() else {
            self.compact();
            return Ok(None);
        };
        let size = i32::from_be_bytes(*prefix);
        let size = usize::try_from(size).map_err(|_| FrameError::NegativeSize(size))?;
        if size > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { size, max: FRAME_BYTES_MAX });
        }
        if let Some(frame) = rest.get(..size) {
            let frame = frame.to_vec();
            self.start += PREFIX_BYTES + size;
            return Ok(Some(frame));
        }
        self.large = Some(LargeFrame { bytes: rest.to_vec(), filled: rest.len(), size });
        (self.start, self.end) = (0, 0);
        Ok(None)
    }

    /// Moves the few bytes of a torn prefix to the front.
    fn compact(&mut self) {
        self.chunk.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let sizes = [0, 1, 3, 65_531, 65_532, 65_533, 300_000, 5];
        let stream: Vec<u8> = sizes
            .iter()
            .flat_map(|&size| (size as i32).to_be_bytes().into_iter().chain((0..size).map(|at| at as u8)))
            .collect();
        for step in [1, 7, 4096, 1 << 20] {
            let (mut reader, mut seen, mut rest) = (FrameReader::default(), Vec::new(), stream.as_slice());
            while !rest.is_empty() {
                let spare = reader.spare();
                let count = spare.len().min(step).min(rest.len());
                spare[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                reader.filled(count);
                while let Some(frame) = reader.next_frame().expect("valid") {
                    assert!(frame.iter().enumerate().all(|(at, byte)| *byte == at as u8));
                    seen.push(frame.len());
                }
            }
            assert_eq!(seen, sizes, "step {step}");
        }
    }

    #[test]
    fn an_announced_size_allocates_nothing() {
        let mut reader = FrameReader::default();
        reader.spare()[..4].copy_from_slice(&(1_i32 << 30).to_be_bytes());
        reader.filled(4);
        assert_eq!(reader.next_frame(), Ok(None));
        assert!(reader.spare().len() <= CHUNK_BYTES);
    }

    #[test]
    fn a_negative_size_is_an_error() {
        let mut reader = FrameReader::default();
        reader.spare()[..4].copy_from_slice(&(-5_i32).to_be_bytes());
        reader.filled(4);
        assert_eq!(reader.next_frame(), Err(FrameError::NegativeSize(-5)));
    }
}
