//! All messages, one module each, named after the message; the messages themselves are re-exported here.
//!
//! Every type derives `Debug`, `Clone` and `PartialEq`, implements [`Decode`](crate::Decode) and
//! [`Encode`](crate::Encode), and its `Default` is the schema's. A field that may be null in any version is
//! an `Option`, but begins as null only where the schema says so; otherwise it begins empty. Record batches
//! always begin as null.

/// What the generated modules use.
mod prelude {
    pub(super) use std::borrow::Cow;

    pub(super) use crate::message::decode_message;
    pub(super) use crate::writer::required;
    pub(super) use crate::{
        ApiKey, Decode, DecodeError, Encode, EncodeError, ErrorCode, IntoStatic, Message, Reader, Records,
        Request, Uuid, VersionRange, Writer,
    };
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
