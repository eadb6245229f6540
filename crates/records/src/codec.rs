//! The codecs of batch bodies, in Kafka's framings, both ways.
//!
//! Compression takes a whole body. Decompression is incremental ([`Inflater`]): each step appends at most one block
//! of the codec to a buffer, so that nobody needs to know, or believe, how large a body becomes. Contexts that
//! are costly to create (gzip, zstd) are kept for the thread's next batch.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use crate::Compression;

/// A codec with its level, as `compression.type` and `compression.<codec>.level` configure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    compression: Compression,
    level: i32,
}

impl Codec {
    /// The codec at Kafka's default level.
    pub fn new(compression: Compression) -> Self {
        let level = match compression {
            Compression::None | Compression::Snappy => 0,
            Compression::Gzip => -1,
            Compression::Lz4 => 9,
            Compression::Zstd => 3,
        };
        Self { compression, level }
    }

    /// The codec at another level: gzip −1 or 1–9, zstd −131072 to 22, lz4 1–17. The LZ4 encoder here has one
    /// speed, that of Kafka's default level; its other levels are accepted and write the same. Levels out of range
    /// are brought into it.
    #[must_use]
    pub fn with_level(self, level: i32) -> Self {
        let level = match self.compression {
            Compression::None | Compression::Snappy => 0,
            Compression::Gzip if level == -1 => -1,
            Compression::Gzip => level.clamp(1, 9),
            Compression::Lz4 => level.clamp(1, 17),
            Compression::Zstd => level.clamp(-131_072, 22),
        };
        Self { level, ..self }
    }

    /// Which codec it is.
    pub fn compression(self) -> Compression {
        self.compression
    }

    /// Appends `input` to `out`, compressed.
    pub(crate) fn compress(self, input: &[u8], out: &mut Vec<u8>) {
        match self.compression {
            Compression::None => out.extend_from_slice(input),
            Compression::Gzip => gzip::compress(input, self.level, out),
            Compression::Snappy => snappy::compress(input, out),
            Compression::Lz4 => lz4::compress(input, out),
            Compression::Zstd => zstd::compress(input, self.level, out),
        }
    }
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        Self::new(compression)
    }
}

/// Why compressed bytes cannot be read: the codec and what it met.
pub(crate) type InflateError = String;

/// Decompresses a body step by step.
pub(crate) enum Inflater<'a> {
    /// The body is not compressed: handed on in one step.
    Stored(&'a [u8]),
    Gzip(gzip::Inflate<'a>),
    Snappy(snappy::Inflate<'a>),
    Lz4(lz4::Inflate<'a>),
    Zstd(zstd::Inflate<'a>),
}

impl<'a> Inflater<'a> {
    /// A decompressor of `body`. Old producers wrote LZ4 frames with a wrong header checksum into batches of
    /// magic 0, where it is therefore not looked at.
    pub(crate) fn new(compression: Compression, body: &'a [u8], magic: i8) -> Result<Self, InflateError> {
        Ok(match compression {
            Compression::None => Self::Stored(body),
            Compression::Gzip => Self::Gzip(gzip::Inflate::new(body)),
            Compression::Snappy => Self::Snappy(snappy::Inflate::new(body)),
            Compression::Lz4 => Self::Lz4(lz4::Inflate::new(body, magic > 0)?),
            Compression::Zstd => Self::Zstd(zstd::Inflate::new(body)?),
        })
    }

    /// Appends the next decompressed bytes to `out`; false when the end is reached and nothing was appended.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, InflateError> {
        let before = out.len();
        match self {
            Self::Stored(body) => out.extend_from_slice(std::mem::take(body)),
            Self::Gzip(inflate) => inflate.fill(out)?,
            Self::Snappy(inflate) => inflate.fill(out)?,
            Self::Lz4(inflate) => inflate.fill(out)?,
            Self::Zstd(inflate) => inflate.fill(out)?,
        }
        Ok(out.len() > before)
    }
}

/// Room for a step of gzip or zstd: what a body of this size may become, within reason.
fn step_bytes(input_bytes: usize) -> usize {
    input_bytes.saturating_mul(8).clamp(1024, 64 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>, InflateError> {
        let mut inflater = Inflater::new(compression, bytes, 2)?;
        let mut out = Vec::new();
        while inflater.fill(&mut out)? {}
        Ok(out)
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut state = 7u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let random: Vec<u8> = (0..200_000).map(|_| noise()).collect();
        let text: Vec<u8> = (0..300_000u32).map(|i| b"the quick brown fox "[(i % 20) as usize]).collect();
        vec![Vec::new(), vec![1], vec![0; 32 * 1024], vec![7; 64 * 1024 + 1], random, text]
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for compression in Compression::ALL {
            for sample in samples() {
                let mut out = b"kept".to_vec();
                Codec::new(compression).compress(&sample, &mut out);
                assert_eq!(&out[..4], b"kept");
                assert!(
                    inflate(compression, &out[4..]).as_ref() == Ok(&sample),
                    "{compression} {}",
                    sample.len()
                );
            }
        }
    }

    #[test]
    fn levels_change_size_and_stay_readable() {
        let sample = samples().swap_remove(5);
        for (compression, levels) in [(Compression::Gzip, [1, 9]), (Compression::Zstd, [-5, 19])] {
            for level in levels {
                let mut out = Vec::new();
                Codec::new(compression).with_level(level).compress(&sample, &mut out);
                assert_eq!(inflate(compression, &out).as_ref(), Ok(&sample));
            }
        }
        assert_eq!(Codec::new(Compression::Gzip).with_level(0).level, 1);
    }

    #[test]
    fn cut_streams_are_errors() {
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut out = Vec::new();
            Codec::new(compression).compress(&samples()[3], &mut out);
            for len in 1..out.len() - 1 {
                let result = inflate(compression, &out[..len]);
                let shorter = compression == Compression::Snappy && result.is_ok();
                assert!(result.is_err() || shorter, "{compression} cut to {len} of {}", out.len());
            }
        }
    }
}
