//! Snappy as Java's `SnappyOutputStream` frames it (called xerial), and raw snappy, which some clients send.
//!
//! The framing: eight magic bytes, an int32 version and an int32 of the lowest compatible version, then blocks of an
//! int32 length and raw snappy. Where a block should begin, the magic may come again.

use std::cell::RefCell;

use super::InflateError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_SIZE: usize = 16;
const BLOCK_BYTES: usize = 32 * 1024;
/// A raw block cannot grow by more: its densest element is three bytes that stand for 64.
const EXPANSION_MAX: usize = 22;

thread_local! {
    static ENCODER: RefCell<snap::raw::Encoder> = RefCell::new(snap::raw::Encoder::new());
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    for block in input.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let size = ENCODER.with_borrow_mut(|encoder| encoder.compress(block, &mut out[start..]));
        let size = size.expect("the buffer holds the largest possible block");
        out[length_at..start].copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(start + size);
    }
}

pub(crate) struct Inflate<'a> {
    input: &'a [u8],
    framed: bool,
}

impl<'a> Inflate<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, framed: input.starts_with(&MAGIC) }
    }

    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let before = out.len();
        while out.len() == before && !self.input.is_empty() {
            let block = if self.framed { self.next_block()? } else { std::mem::take(&mut self.input) };
            append_block(block, out)?;
        }
        Ok(())
    }

    fn next_block(&mut self) -> Result<&'a [u8], InflateError> {
        while self.input.starts_with(&MAGIC) {
            self.take(HEADER_SIZE)?;
        }
        if self.input.is_empty() {
            return Ok(&[]);
        }
        let mut length = [0; 4];
        length.copy_from_slice(self.take(4)?);
        self.take(u32::from_be_bytes(length) as usize)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], InflateError> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or("snappy: the stream ends early")?;
        self.input = rest;
        Ok(taken)
    }
}

fn append_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
    if block.is_empty() {
        return Ok(());
    }
    let size = snap::raw::decompress_len(block).map_err(|error| format!("snappy: {error}"))?;
    if size > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(format!("snappy: a block of {} bytes cannot hold {size}", block.len()));
    }
    let start = out.len();
    out.resize(start + size, 0);
    let result = snap::raw::Decoder::new().decompress(block, &mut out[start..]);
    result.map(drop).map_err(|error| format!("snappy: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(input: &[u8]) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        Inflate::new(input).fill(&mut out).map(|()| out)
    }

    #[test]
    fn raw_snappy_is_read() {
        let raw = snap::raw::Encoder::new().compress_vec(b"raw raw raw raw raw").unwrap();
        assert_eq!(inflate(&raw), Ok(b"raw raw raw raw raw".to_vec()));
    }

    #[test]
    fn the_densest_block_is_read_and_a_lying_length_is_not_believed() {
        let raw = snap::raw::Encoder::new().compress_vec(&[0; 60_000]).unwrap();
        assert_eq!(inflate(&raw).map(|out| out.len()), Ok(60_000));
        assert!(inflate(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]).is_err());
    }

    #[test]
    fn a_stream_may_begin_anew() {
        let mut twice = Vec::new();
        compress(b"one", &mut twice);
        compress(b"two", &mut twice);
        let (mut inflate, mut out) = (Inflate::new(&twice), Vec::new());
        inflate.fill(&mut out).unwrap();
        inflate.fill(&mut out).unwrap();
        assert_eq!(out, b"onetwo");
    }
}
