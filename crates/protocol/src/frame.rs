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

/// The frame that `bytes` begin with, without its prefix; once it is complete.
pub fn complete(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, FrameSizeError> {
    let Some(len) = size(bytes, max)? else { return Ok(None) };
    Ok(bytes[PREFIX_LEN..].get(..len))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gap, Records, Uuid, messages::fetch_response::*, messages::*};

    #[test]
    fn sizes_are_checked_before_use() {
        let cases: [(&[u8], _); 5] = [
            (&[0, 0, 0], Ok(None)),
            (&[0, 0, 0, 2, 7], Ok(None)),
            (&[0, 0, 0, 2, 7, 8, 9], Ok(Some(&[7_u8, 8][..]))),
            (&[0, 0, 0, 11], Err(FrameSizeError { size: 11, max: 10 })),
            (&[0xff; 4], Err(FrameSizeError { size: -1, max: 10 })),
        ];
        for (bytes, expected) in cases {
            assert_eq!(complete(bytes, 10), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_request_has_size_header_and_body() {
        let mut w = Writer::new();
        let request = ApiVersionsRequest::default();
        encode_request(&mut w, &request, 0, 7, Some("me")).expect("a frame");
        assert_eq!(w.into_bytes(), [0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, b'm', b'e']);
    }

    /// Records that are elsewhere count in the frame's size, and their place is after their length.
    #[test]
    fn external_records_leave_a_gap() {
        let partition = |len| PartitionData { records: Some(Records::External(len)), ..Default::default() };
        let topic_id = Uuid::from_u128(1);
        let partitions = vec![partition(1000), partition(0), partition(24)];
        let topic = FetchableTopicResponse { topic_id, partitions, ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };

        let mut w = Writer::new();
        encode_response(&mut w, ApiKey::Fetch, 13, 7, &response).expect("a frame");
        let size = i32::from_be_bytes(*w.as_bytes().first_chunk().expect("a prefix"));
        assert_eq!(size as usize, w.as_bytes().len() - PREFIX_LEN + 1024);
        assert_eq!(w.total_len(), w.as_bytes().len() + 1024);

        let filled = fill(w.as_bytes(), w.gaps());
        let mut r = crate::Reader::new(&filled[PREFIX_LEN..]);
        assert_eq!(header::decode_response(&mut r, ApiKey::Fetch, 13), Ok(7));
        let decoded = <FetchResponse<'_> as crate::Decode<'_>>::decode(&mut r, 13).expect("a response");
        let lens: Vec<_> =
            decoded.responses[0].partitions.iter().map(|p| p.records.as_ref().map(Records::len)).collect();
        assert_eq!(lens, [Some(1000), Some(0), Some(24)]);
        assert_eq!(r.finish(), Ok(()));
    }

    fn fill(bytes: &[u8], gaps: &[Gap]) -> Vec<u8> {
        let mut filled = Vec::new();
        let mut from = 0;
        for gap in gaps {
            filled.extend_from_slice(&bytes[from..gap.position]);
            filled.resize(filled.len() + gap.len, 0xee);
            from = gap.position;
        }
        filled.extend_from_slice(&bytes[from..]);
        filled
    }
}
