//! The targets' code, their first inputs, and what they share: every message by its name, the one rule all bytes have to obey, and a
//! way past checksums.

pub mod compression;
pub mod log_files;
pub mod log_folder;
pub mod metadata_log;
pub mod record_batches;
pub mod requests;
pub mod responses;
pub mod seeds;
pub mod settings;
pub mod stored_records;

use std::{collections::HashMap, sync::LazyLock};

use klamm_protocol::{Decode, DecodeError, Encode, Reader, Writer, messages};
use klamm_records::BatchHeader;

/// Decodes a message and, if that is one, checks that it survives being encoded and decoded again.
pub type Check = fn(&[u8], i16) -> Result<(), DecodeError>;

macro_rules! checks {
    ($($name:ident)*) => {
        static CHECKS: LazyLock<HashMap<&'static str, Check>> = LazyLock::new(|| {
            HashMap::from([$((stringify!($name), (|bytes, version| {
                let encoded = encode(&messages::$name::decode(&mut Reader::new(bytes), version)?, version);
                let mut r = Reader::new(&encoded);
                let again = messages::$name::decode(&mut r, version).expect("what was encoded decodes");
                r.finish().expect("to the last byte");
                assert_eq!(encode(&again, version), encoded);
                Ok(())
            }) as Check)),*])
        });
    };
}

klamm_protocol::for_each_message!(checks);

fn encode(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("what was decoded encodes");
    w.into_bytes()
}

/// The check of the message with this name.
pub fn check(name: &str) -> Check {
    CHECKS[name]
}

/// Gives every whole batch the CRC of its bytes, so that changes reach what lies behind the check.
pub fn repair_crcs(mut log: &mut [u8]) {
    while let Ok(header) = BatchHeader::parse(log) {
        let Some((batch, rest)) = std::mem::take(&mut log).split_at_mut_checked(header.size()) else {
            return;
        };
        let Some(body) = batch.get(BatchHeader::SIZE..) else { return };
        let crc = header.compute_crc(body);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        log = rest;
    }
}
