//! Bytes that no Kafka would send: cut short, changed at random, or written for another version.

use klamm_protocol::{EncodeError, Reader, header};

use crate::{codecs::Codec, exchanges::exchanges, golden};

/// What ends early is an error, wherever it ends.
#[test]
fn every_truncation_is_an_error() {
    for vector in golden::vectors() {
        let codec = Codec::of(&vector.name);
        for len in 0..vector.bytes.len() {
            let cut = &vector.bytes[..len];
            assert!((codec.transcode)(cut, vector.version, vector.version).is_err(), "{} {len}", vector.name);
        }
    }
}

#[test]
fn every_truncated_request_frame_is_an_error() {
    for exchange in exchanges() {
        let codec = Codec::of(&format!("{}Request", exchange.key));
        for len in 0..exchange.request.len() {
            let mut r = Reader::new(&exchange.request[..len]);
            let Ok((key, header)) = header::decode_request(&mut r) else { continue };
            let version = header.request_api_version;
            assert!((codec.transcode)(r.remaining(), version, version).is_err(), "{key} {len}");
        }
    }
}

/// Whatever decodes is a message: it encodes in the same version, and the result stays what it is.
#[test]
fn what_decodes_encodes() {
    let mut random = Random(0x6b6c_616d_6d00_0001);
    let mut decoded = 0;
    for vector in golden::vectors() {
        let codec = Codec::of(&vector.name);
        for _ in 0..40 {
            let bytes = random.mutate(&vector.bytes);
            let Ok(transcoded) = (codec.transcode)(&bytes, vector.version, vector.version) else { continue };
            let encoded = transcoded.encoded.expect("what decodes encodes");
            codec.assert_round_trip(&encoded, vector.version);
            decoded += 1;
        }
    }
    assert!(decoded > 20_000, "only {decoded} of the changed messages decoded");
}

/// A message written for another version either says all that it must, or is refused; and where it is
/// written, it reads back.
#[test]
fn other_versions_carry_a_message_or_refuse_it() {
    let (mut carried, mut refused) = (0, 0);
    for vector in golden::vectors() {
        let codec = Codec::of(&vector.name);
        for version in codec.versions.min..=codec.versions.max {
            let transcoded =
                (codec.transcode)(&vector.bytes, vector.version, version).expect("a golden message");
            match transcoded.encoded {
                Ok(bytes) => {
                    codec.assert_round_trip(&bytes, version);
                    carried += 1;
                }
                Err(EncodeError::UnsupportedVersion { .. } | EncodeError::UnexpectedNull { .. }) => {
                    refused += 1
                }
                Err(error) => panic!("{} {version}: {error}", vector.name),
            }
        }
    }
    assert!(carried > 5_000 && refused > 500, "{carried} carried, {refused} refused");
}

/// A small generator (xorshift); one seed, one run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// The bytes with one to four small changes, such as bring lengths, counts and numbers to their edges.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            let edge = [0x00, 0x01, 0x7f, 0x80, 0xff][self.below(5)];
            match (self.below(5), bytes.get_mut(at)) {
                (0, Some(byte)) => *byte = edge,
                (1, Some(byte)) => *byte ^= 1 << self.below(8),
                (2, Some(byte)) => *byte = self.next() as u8,
                (3, Some(_)) => drop(bytes.remove(at)),
                _ => bytes.insert(at, edge),
            }
        }
        bytes
    }
}
