//! LZ4 frames with independent blocks, as Kafka's clients read and write them.
//!
//! Written are blocks of 64 KiB without checksums. Read are all block sizes, block checksums are verified, a
//! content checksum is skipped. Frames whose blocks depend on each other are refused: Java clients cannot read them.

use std::cell::RefCell;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::InflateError;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Magic, version 1 with independent blocks, blocks of 64 KiB, and the checksum of those two bytes.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 * 1024;
const STORED: u32 = 0x8000_0000;
/// A block cannot grow by more: a byte of match length stands for 255.
const EXPANSION_MAX: usize = 256;

thread_local! {
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::small());
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&HEADER);
    for block in input.chunks(BLOCK_BYTES) {
        compress_block(block, out);
    }
    out.extend_from_slice(&[0; 4]);
}

fn compress_block(block: &[u8], out: &mut Vec<u8>) {
    let length_at = out.len();
    let start = length_at + 4;
    out.resize(start + get_maximum_output_size(block.len()), 0);
    let size = TABLE.with_borrow_mut(|table| compress_into_with_table(block, &mut out[start..], table));
    let size = size.expect("the buffer holds the largest possible block");
    let length = if size < block.len() {
        out.truncate(start + size);
        size as u32
    } else {
        out.truncate(start);
        out.extend_from_slice(block);
        block.len() as u32 | STORED
    };
    out[length_at..start].copy_from_slice(&length.to_le_bytes());
}

pub(crate) struct Inflate<'a> {
    input: &'a [u8],
    block_bytes_max: usize,
    block_checksums: bool,
    finished: bool,
}

impl<'a> Inflate<'a> {
    pub(super) fn new(input: &'a [u8], check_header: bool) -> Result<Self, InflateError> {
        let mut inflate = Self { input, block_bytes_max: 0, block_checksums: false, finished: false };
        inflate.read_header(check_header)?;
        Ok(inflate)
    }

    fn read_header(&mut self, check: bool) -> Result<(), InflateError> {
        if self.take(4)? != MAGIC {
            return Err("lz4: not a frame".to_owned());
        }
        let descriptor = self.input;
        let [flags, sizes]: [u8; 2] = self.array()?;
        if flags >> 6 != 1 || flags & 0x03 != 0 || sizes & 0x8f != 0 || sizes >> 4 < 4 {
            return Err(format!("lz4: frame descriptor {flags:02x} {sizes:02x} is not supported"));
        }
        if flags & 0x20 == 0 {
            return Err("lz4: dependent blocks are not supported".to_owned());
        }
        self.block_checksums = flags & 0x10 != 0;
        self.block_bytes_max = 1 << (8 + 2 * (sizes >> 4));
        let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
        self.take(content_size)?;
        let [checksum] = self.array()?;
        let computed = (XxHash32::oneshot(0, &descriptor[..2 + content_size]) >> 8) as u8;
        if check && checksum != computed {
            return Err("lz4: the frame descriptor is corrupted".to_owned());
        }
        Ok(())
    }

    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let before = out.len();
        while out.len() == before && !self.finished {
            self.next_block(out)?;
        }
        Ok(())
    }

    fn next_block(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let length = u32::from_le_bytes(self.array()?);
        let size = (length & !STORED) as usize;
        if size == 0 {
            self.finished = true;
            return Ok(());
        }
        if size > self.block_bytes_max {
            return Err(format!("lz4: a block of {size} bytes exceeds {}", self.block_bytes_max));
        }
        let block = self.take(size)?;
        if self.block_checksums && u32::from_le_bytes(self.array()?) != XxHash32::oneshot(0, block) {
            return Err("lz4: block checksum mismatch".to_owned());
        }
        if length & STORED == 0 {
            return self.append_block(block, out);
        }
        out.extend_from_slice(block);
        Ok(())
    }

    fn append_block(&self, block: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
        let start = out.len();
        out.resize(start + self.block_bytes_max.min(block.len() * EXPANSION_MAX), 0);
        let size = decompress_into(block, &mut out[start..]).map_err(|error| format!("lz4: {error}"))?;
        out.truncate(start + size);
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], InflateError> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or("lz4: the stream ends early")?;
        self.input = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InflateError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_header_has_the_right_checksum() {
        assert_eq!(HEADER[6], (XxHash32::oneshot(0, &HEADER[4..6]) >> 8) as u8);
    }

    #[test]
    fn a_wrong_header_checksum_passes_in_old_batches_only() {
        let mut frame = Vec::new();
        compress(b"old", &mut frame);
        frame[6] ^= 1;
        assert!(Inflate::new(&frame, true).is_err());
        assert!(Inflate::new(&frame, false).is_ok());
    }

    #[test]
    fn dependent_blocks_are_refused() {
        let mut frame = Vec::new();
        compress(b"linked", &mut frame);
        frame[4] = 0x40;
        frame[6] = (XxHash32::oneshot(0, &frame[4..6]) >> 8) as u8;
        let error = Inflate::new(&frame, true).err().unwrap();
        assert_eq!(error, "lz4: dependent blocks are not supported");
    }
}
