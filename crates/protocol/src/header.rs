//! Headers of requests and responses.

pub use crate::messages::{RequestHeader, ResponseHeader};
use crate::{ApiKey, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Reader, Writer};

/// Reads a request's header: which API, and the header itself. The body follows in the reader.
///
/// The version of the request is not checked here, because one API answers unknown versions: ApiVersions.
/// Every body checks its own.
pub fn decode_request<'a>(r: &mut Reader<'a>) -> Result<(ApiKey, RequestHeader<'a>), DecodeError> {
    let mut ahead = r.clone();
    let (number, version) = (ahead.i16()?, ahead.i16()?);
    let Some(key) = ApiKey::from_i16(number) else {
        return Err(DecodeError::new(r, DecodeErrorKind::UnknownApiKey(number)));
    };
    Ok((key, RequestHeader::decode(r, key.request_header_version(version))?))
}

/// Writes a request's header.
pub fn encode_request(
    w: &mut Writer,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<(), EncodeError> {
    let header = RequestHeader {
        request_api_key: key.as_i16(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(Into::into),
    };
    header.encode(w, key.request_header_version(version))
}

/// Reads a response's header and gives its correlation id. The body follows in the reader.
pub fn decode_response(r: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<i32, DecodeError> {
    ResponseHeader::decode(r, key.response_header_version(version)).map(|header| header.correlation_id)
}

/// Writes a response's header.
pub fn encode_response(
    w: &mut Writer,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<(), EncodeError> {
    ResponseHeader { correlation_id }.encode(w, key.response_header_version(version))
}
