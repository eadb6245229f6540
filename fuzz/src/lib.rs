//! What the targets share: every message by its name, and the one rule all bytes have to obey.

use std::{collections::HashMap, sync::LazyLock};

use klamm_protocol::{Decode, DecodeError, Encode, Reader, Writer, messages};

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
