//! Kafka's wire protocol: frames, headers, every request and response, and every stored record.
//!
//! The message types are generated from `schema/` when the crate is built. They borrow from the frame they
//! are decoded from, and one type serves all versions of its message: what a version lacks holds its default.
//!
//! Invariants:
//! - Decoding never panics, and never allocates more than a small multiple of the bytes it was given
//!   ([`Reader`] holds the bounds).
//! - What decodes encodes again in the same version; encoding refuses what a version cannot say.
//! - No I/O, no clock, no state.

mod api_key;
mod error;
mod error_code;
mod fixed;
mod message;
mod reader;
mod record_bytes;
mod uuid;
mod writer;

pub mod control_record;
pub mod coordinator_record;
pub mod frame;
pub mod header;
pub mod messages;
pub mod metadata_record;
pub mod quorum_state;
pub mod remote_log_record;

pub use api_key::ApiKey;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use error_code::{ErrorClass, ErrorCode};
pub use fixed::Fixed;
pub use message::{Decode, Encode, IntoStatic, Message, Request, VersionRange};
pub use reader::Reader;
pub use record_bytes::Records;
pub use uuid::{ParseUuidError, Uuid};
pub use writer::{Gap, TaggedFieldStart, Writer};
