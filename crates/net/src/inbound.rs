//! What a peer has sent: bytes in, frames out.
//!
//! A frame is an int32 size and that many bytes. The buffer grows only with what has arrived, so that a peer which
//! announces 100 MiB and sends ten bytes costs ten bytes; and it reads a large frame up to little past its end, so that
//! hardly any bytes are moved when the next frame starts.

use std::ops::Range;

use crate::BufferPool;

/// The smallest buffer that is read into.
const READ_BYTES_MIN: usize = 64 * 1024;
/// How far past the end of a large frame a read may go. Bytes past the end may have to be moved to the front later.
const READ_PAST_FRAME_BYTES: usize = 4 * 1024;
/// Size of a frame's length prefix.
const PREFIX_BYTES: usize = 4;

/// A length prefix that no frame can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The prefix is negative.
    #[error("a frame announces {0} bytes")]
    NegativeSize(i32),
    /// The prefix exceeds the bound given to [`Inbound::new`].
    #[error("a frame announces {size} bytes, more than the {max} allowed (socket.request.max.bytes)")]
    TooLarge {
        /// What the prefix says.
        size: usize,
        /// The bound.
        max: usize,
    },
}

/// Receives bytes and cuts them into frames.
pub struct Inbound {
    pool: BufferPool,
    buffer: Vec<u8>,
    /// Where the first byte that belongs to no handled frame lies.
    start: usize,
    /// The end of what was received.
    end: usize,
    frame_bytes_max: usize,
}

impl Inbound {
    /// An empty buffer that refuses frames of more than `frame_bytes_max` bytes.
    pub fn new(pool: BufferPool, frame_bytes_max: usize) -> Self {
        Self { pool, buffer: Vec::new(), start: 0, end: 0, frame_bytes_max }
    }

    /// Where the next bytes received go. Never empty. Call [`Inbound::filled`] afterwards.
    ///
    /// # Errors
    /// As [`Inbound::next_frame`].
    pub fn spare(&mut self) -> Result<&mut [u8], FrameError> {
        if self.buffer.is_empty() {
            self.buffer = self.pool.take();
        }
        let wanted_end = self.wanted_end()?;
        if wanted_end > self.buffer.len() {
            self.make_room();
        }
        let end = wanted_end.clamp(self.end + 1, self.buffer.len());
        Ok(&mut self.buffer[self.end..end])
    }

    /// The first `count` bytes of [`Inbound::spare`] now hold received bytes.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.buffer.len());
    }

    /// Cuts off the next complete frame and returns where its bytes lie (without the prefix), if it has arrived whole.
    ///
    /// # Errors
    /// When the length prefix cannot be that of a frame. The stream cannot be read further.
    pub fn next_frame(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let Some(size) = self.announced_size()? else { return Ok(None) };
        let from = self.start + PREFIX_BYTES;
        if self.end - from < size {
            return Ok(None);
        }
        self.start = from + size;
        Ok(Some(from..from + size))
    }

    /// The bytes of a frame. Valid until the next [`Inbound::spare`] or [`Inbound::release`].
    pub fn frame(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Bytes received that belong to no handled frame.
    pub fn pending_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Gives the buffer back to the pool when nothing is left in it. Call when about to wait for more.
    pub fn release(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.pool.give(std::mem::take(&mut self.buffer));
        }
    }

    /// The size in the next frame's prefix, once the prefix is there.
    fn announced_size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer[self.start..self.end].first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let size = i32::from_be_bytes(*prefix);
        let size = usize::try_from(size).map_err(|_| FrameError::NegativeSize(size))?;
        if size > self.frame_bytes_max {
            return Err(FrameError::TooLarge { size, max: self.frame_bytes_max });
        }
        Ok(Some(size))
    }

    /// How far the next read should go: as far as the buffer reaches, or little past the end of a large frame.
    fn wanted_end(&self) -> Result<usize, FrameError> {
        let plain = self.start + READ_BYTES_MIN;
        let Some(size) = self.announced_size()? else { return Ok(plain) };
        let frame_end = self.start + PREFIX_BYTES + size;
        Ok(plain.max(frame_end + READ_PAST_FRAME_BYTES))
    }

    /// Moves what is pending to the front and, when that is not enough, grows by no more than has arrived.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let wanted = self.wanted_end().unwrap_or(READ_BYTES_MIN);
        if self.end * 2 >= self.buffer.len() {
            let affordable = READ_BYTES_MIN.max(self.end * 4);
            self.buffer.resize(self.buffer.len().max(wanted.min(affordable)), 0);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(inbound: &mut Inbound, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = inbound.spare().unwrap();
            let count = spare.len().min(bytes.len());
            spare[..count].copy_from_slice(&bytes[..count]);
            inbound.filled(count);
            bytes = &bytes[count..];
        }
    }

    fn frame_of(size: usize) -> Vec<u8> {
        let mut bytes = (size as u32).to_be_bytes().to_vec();
        bytes.extend((0..size).map(|at| at as u8));
        bytes
    }

    #[test]
    fn cuts_frames_wherever_the_reads_end() {
        for sizes in [&[0, 1, 2, 3][..], &[70_000, 5, 300_000, 65_532, 65_536], &[262_144; 5]] {
            let stream: Vec<u8> = sizes.iter().flat_map(|&size| frame_of(size)).collect();
            for step in
                [1, 7, 4096, 65_536, 1_000_000].into_iter().filter(|&step| stream.len() / step < 100_000)
            {
                let mut inbound = Inbound::new(BufferPool::new(1 << 20), 1 << 20);
                let mut seen = Vec::new();
                for part in stream.chunks(step) {
                    let mut part = part;
                    while !part.is_empty() {
                        let spare = inbound.spare().unwrap();
                        let count = spare.len().min(part.len());
                        spare[..count].copy_from_slice(&part[..count]);
                        inbound.filled(count);
                        part = &part[count..];
                        while let Some(range) = inbound.next_frame().unwrap() {
                            let frame = inbound.frame(range);
                            assert!(frame.iter().enumerate().all(|(at, &byte)| byte == at as u8));
                            seen.push(frame.len());
                        }
                        inbound.release();
                    }
                }
                assert_eq!(seen, sizes, "step {step}");
            }
        }
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut inbound = Inbound::new(BufferPool::new(0), 100 << 20);
        feed(&mut inbound, &(100_i32 << 20).to_be_bytes());
        inbound.spare().unwrap();
        assert!(inbound.buffer.len() <= READ_BYTES_MIN, "{}", inbound.buffer.len());
        feed(&mut inbound, &vec![0; 1_000_000]);
        inbound.spare().unwrap();
        assert!(inbound.buffer.len() <= 4_100_000, "{}", inbound.buffer.len());
    }

    #[test]
    fn impossible_prefixes_are_named() {
        for (prefix, error) in [
            (-1, FrameError::NegativeSize(-1)),
            (i32::MIN, FrameError::NegativeSize(i32::MIN)),
            (1001, FrameError::TooLarge { size: 1001, max: 1000 }),
        ] {
            let mut inbound = Inbound::new(BufferPool::new(0), 1000);
            feed(&mut inbound, &i32::to_be_bytes(prefix));
            assert_eq!(inbound.next_frame(), Err(error));
        }
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let pool = BufferPool::new(1 << 20);
        let mut inbound = Inbound::new(pool.clone(), 1000);
        feed(&mut inbound, &frame_of(10));
        inbound.next_frame().unwrap().unwrap();
        inbound.release();
        assert!(inbound.buffer.is_empty());
        assert_eq!(pool.take().len(), READ_BYTES_MIN);
    }
}
