//! Frames: an int32 size, then that many bytes.

use crate::{ApiKey, Encode, EncodeError, Request, Writer, header};

/// The size of the size.
pub const PREFIX_LEN: usize = 4;

/// What a size prefix cannot say, or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {size} bytes, 0 to {max} are allowed")]
pub struct FrameSizeError {
    /// What the prefix says.
    pub size: i32,
    /// The largest size allowed.
    pub max: usize,
}

/// The size of the frame that `bytes` begin with, once its prefix is complete.
pub fn size(bytes: &[u8], max: usize) -> Result<Option<usize>, FrameSizeError> {
    let Some(prefix) = bytes.first_chunk() else { return Ok(None) };
    let size = i32::from_be_bytes(*prefix);
    match usize::try_from(size) {
        Ok(len) if len <= max => Ok(Some(len)),
        _ => Err(FrameSizeError { size, max }),
    }
}

/// The frame that `bytes` begin with, without its prefix, and what follows it; once it is complete.
pub fn split(bytes: &[u8], max: usize) -> Result<Option<(&[u8], &[u8])>, FrameSizeError> {
    let Some(len) = size(bytes, max)? else { return Ok(None) };
    Ok(bytes[PREFIX_LEN..].split_at_checked(len))
}

/// Appends a frame whose content `write` appends. Its size counts the gaps in it.
///
/// # Errors
/// Those of `write`, and a frame larger than 2 GiB. The writer then holds a part of the frame.
pub fn encode(
    w: &mut Writer,
    write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let (position, before) = (w.as_bytes().len(), w.total_len());
    w.i32(0);
    write(w)?;
    let length = w.total_len() - before - PREFIX_LEN;
    let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { what: "a frame", length })?;
    w.patch_i32(position, size);
    Ok(())
}

/// Appends a request's frame: size, header, body.
pub fn encode_request<R: Request>(
    w: &mut Writer,
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<(), EncodeError> {
    encode(w, |w| {
        header::encode_request(w, R::KEY, version, correlation_id, client_id)?;
        request.encode(w, version)
    })
}

/// Appends a response's frame: size, header, body.
pub fn encode_response(
    w: &mut Writer,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &impl Encode,
) -> Result<(), EncodeError> {
    encode(w, |w| {
        header::encode_response(w, key, version, correlation_id)?;
        response.encode(w, version)
    })
}
