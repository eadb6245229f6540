//! Every message by its name.

use klamm_protocol::{
    Decode, DecodeError, Encode, EncodeError, IntoStatic, Message, Reader, VersionRange, Writer, messages,
};

/// What tests do with a message whose type they do not know.
pub(crate) struct Codec {
    pub(crate) name: &'static str,
    pub(crate) versions: VersionRange,
    /// Decodes in the first version and encodes in the second.
    pub(crate) transcode: fn(&[u8], i16, i16) -> Result<Transcoded, DecodeError>,
    /// Encodes a fresh message.
    pub(crate) encode_default: fn(i16) -> Result<Vec<u8>, EncodeError>,
}

/// What became of bytes.
pub(crate) struct Transcoded {
    /// How many bytes decoding left.
    pub(crate) rest: usize,
    pub(crate) encoded: Result<Vec<u8>, EncodeError>,
}

macro_rules! codecs {
    ($($name:ident)*) => {
        const CODECS: &[Codec] = &[$(Codec {
            name: stringify!($name),
            versions: messages::$name::VERSIONS,
            transcode: |bytes, from, to| {
                let mut r = Reader::new(bytes);
                let message = messages::$name::decode(&mut r, from)?;
                let rest = r.remaining().len();
                Ok(Transcoded { rest, encoded: encode(&message.into_static(), to) })
            },
            encode_default: |version| encode(&messages::$name::default(), version),
        }),*];
    };
}

klamm_protocol::for_each_message!(codecs);

fn encode(message: &impl Encode, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version)?;
    Ok(w.into_bytes())
}

impl Codec {
    pub(crate) fn all() -> &'static [Codec] {
        CODECS
    }

    pub(crate) fn of(name: &str) -> &'static Codec {
        CODECS.iter().find(|codec| codec.name == name).unwrap_or_else(|| panic!("no message {name}"))
    }

    /// Decodes and encodes in the same version; panics unless every byte is used and comes back.
    pub(crate) fn assert_round_trip(&self, bytes: &[u8], version: i16) {
        let Self { name, .. } = self;
        let transcoded = (self.transcode)(bytes, version, version).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(transcoded.rest, 0, "{name} version {version} leaves bytes");
        assert_eq!(transcoded.encoded.as_deref(), Ok(bytes), "{name} version {version}");
    }
}
