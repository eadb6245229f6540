//! Writing values.

use crate::{EncodeError, ErrorCode, Fixed, Records, Uuid};

/// Appends values to a buffer.
///
/// [`Records::External`] are not in the buffer: each leaves a [`Gap`], and what is sent is the buffer with
/// the gaps filled. Lengths are plain, or compact where `flex` is set, as for [`Reader`](crate::Reader).
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
    error_codes: Vec<ErrorCode>,
}

/// A place in the buffer where bytes belong that are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// They belong before the buffer's byte with this index. Gaps come in rising order.
    pub position: usize,
    /// How many there are.
    pub len: usize,
}

/// Where a tagged field's value began; [`Writer::end_tagged_field`] wants it back.
#[derive(Debug)]
#[must_use]
pub struct TaggedFieldStart(usize);

impl Writer {
    /// A writer into a new buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that appends to `bytes`; a buffer that is used again saves its allocation.
    pub fn appending_to(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// The buffer so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer. Where there are [gaps](Self::gaps), their bytes are not in it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The buffer and its gaps.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Gap>) {
        (self.bytes, self.gaps)
    }

    /// The gaps left so far.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Takes the error codes written so far, [`NONE`](ErrorCode::NONE) left out, in their order: what an answer
    /// reports, whatever its type.
    pub fn take_error_codes(&mut self) -> Vec<ErrorCode> {
        std::mem::take(&mut self.error_codes)
    }

    /// How many bytes there are once the gaps are filled.
    pub fn total_len(&self) -> usize {
        self.bytes.len() + self.gaps.iter().map(|gap| gap.len).sum::<usize>()
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites an int32 that was written before, at this index of the buffer.
    pub(crate) fn patch_i32(&mut self, position: usize, value: i32) {
        self.bytes[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }
}

/// Values of fixed size.
impl Writer {
    /// A bool.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// An int8.
    #[inline]
    pub fn i8(&mut self, value: i8) {
        value.to_wire(&mut self.bytes);
    }

    /// An int16.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        value.to_wire(&mut self.bytes);
    }

    /// An int32.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        value.to_wire(&mut self.bytes);
    }

    /// An int64.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        value.to_wire(&mut self.bytes);
    }

    /// A uint16.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        value.to_wire(&mut self.bytes);
    }

    /// A uint32.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        value.to_wire(&mut self.bytes);
    }

    /// A float64.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        value.to_wire(&mut self.bytes);
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        value.to_wire(&mut self.bytes);
    }

    /// An error code.
    #[inline]
    pub fn error_code(&mut self, value: ErrorCode) {
        if value.is_error() {
            self.error_codes.push(value);
        }
        self.i16(value.0);
    }
}

/// Numbers of variable length.
impl Writer {
    /// An unsigned number of at most 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self, value: u32) {
        self.unsigned_varlong(u64::from(value));
    }

    /// An unsigned number of at most 64 bits.
    #[inline]
    pub fn unsigned_varlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A signed number of at most 32 bits, zigzag.
    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint((value << 1 ^ value >> 31).cast_unsigned());
    }

    /// A signed number of at most 64 bits, zigzag.
    #[inline]
    pub fn varlong(&mut self, value: i64) {
        self.unsigned_varlong((value << 1 ^ value >> 63).cast_unsigned());
    }
}

/// Strings, bytes and records.
impl Writer {
    /// A string.
    pub fn string(&mut self, flex: bool, value: &str) -> Result<(), EncodeError> {
        self.string_len(flex, Some(value.len()))?;
        self.raw(value.as_bytes());
        Ok(())
    }

    /// A string or null.
    pub fn nullable_string(&mut self, flex: bool, value: Option<&str>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(flex, value),
            None => self.string_len(flex, None),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, flex: bool, value: &[u8]) -> Result<(), EncodeError> {
        self.len(flex, Some(value.len()), "bytes")?;
        self.raw(value);
        Ok(())
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, flex: bool, value: Option<&[u8]>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.bytes(flex, value),
            None => self.len(flex, None, "bytes"),
        }
    }

    /// Record batches, or a gap for them.
    pub fn records(&mut self, flex: bool, value: &Records<'_>) -> Result<(), EncodeError> {
        self.len(flex, Some(value.len()), "records")?;
        match value {
            Records::Bytes(bytes) => self.raw(bytes),
            Records::External(0) => {}
            Records::External(len) => self.gaps.push(Gap { position: self.bytes.len(), len: *len }),
        }
        Ok(())
    }

    /// Record batches or null.
    pub fn nullable_records(&mut self, flex: bool, value: Option<&Records<'_>>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.records(flex, value),
            None => self.len(flex, None, "records"),
        }
    }

    fn string_len(&mut self, flex: bool, len: Option<usize>) -> Result<(), EncodeError> {
        if flex {
            return self.len(flex, len, "a string");
        }
        let plain = match len {
            Some(length) => {
                i16::try_from(length).map_err(|_| EncodeError::TooLong { what: "a string", length })?
            }
            None => -1,
        };
        self.i16(plain);
        Ok(())
    }

    fn len(&mut self, flex: bool, len: Option<usize>, what: &'static str) -> Result<(), EncodeError> {
        let plain = match len {
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { what, length })?,
            None => -1,
        };
        if flex {
            self.unsigned_varint(plain.cast_unsigned().wrapping_add(1));
        } else {
            self.i32(plain);
        }
        Ok(())
    }
}

/// Arrays, and structures that may be null.
impl Writer {
    /// An array; `element` writes one.
    #[inline]
    pub fn array<T>(
        &mut self,
        flex: bool,
        value: &[T],
        mut element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.len(flex, Some(value.len()), "an array")?;
        value.iter().try_for_each(|item| element(self, item))
    }

    /// An array or null; `element` writes one.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flex: bool,
        value: Option<&[T]>,
        element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.array(flex, value, element),
            None => self.len(flex, None, "an array"),
        }
    }

    /// An array of values of fixed size.
    #[inline]
    pub fn fixed_array<T: Fixed>(&mut self, flex: bool, value: &[T]) -> Result<(), EncodeError> {
        self.len(flex, Some(value.len()), "an array")?;
        self.bytes.reserve(size_of_val(value));
        value.iter().for_each(|item| item.to_wire(&mut self.bytes));
        Ok(())
    }

    /// An array of values of fixed size, or null.
    #[inline]
    pub fn nullable_fixed_array<T: Fixed>(
        &mut self,
        flex: bool,
        value: Option<&[T]>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.fixed_array(flex, value),
            None => self.len(flex, None, "an array"),
        }
    }

    /// Whether the structure that may be null is there.
    #[inline]
    pub fn presence(&mut self, is_there: bool) {
        self.i8(if is_there { 1 } else { -1 });
    }

    /// The same in a tagged field.
    #[inline]
    pub fn tagged_presence(&mut self, is_there: bool) {
        self.unsigned_varint(u32::from(is_there));
    }
}

/// Tagged sections: first the number of fields as an unsigned varint, then each field by rising tag.
impl Writer {
    /// Writes the tag; the value comes next.
    pub fn begin_tagged_field(&mut self, tag: u32) -> TaggedFieldStart {
        self.unsigned_varint(tag);
        // One byte for the size, which nearly always fits.
        self.bytes.push(0);
        TaggedFieldStart(self.bytes.len())
    }

    /// Writes the size of the value that has been written since, in front of it.
    pub fn end_tagged_field(&mut self, start: TaggedFieldStart) {
        let mut size = self.bytes.len() - start.0;
        let mut position = start.0 - 1;
        while size >= 0x80 {
            self.bytes[position] = size as u8 | 0x80;
            size >>= 7;
            position += 1;
            self.bytes.insert(position, 0);
        }
        self.bytes[position] = size as u8;
    }
}

/// The value of a field that may be null, but not in this version.
pub(crate) fn required<'t, T>(
    value: &'t Option<T>,
    message: &'static str,
    field: &'static str,
) -> Result<&'t T, EncodeError> {
    value.as_ref().ok_or(EncodeError::UnexpectedNull { message, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size comes before the value, and grows where one byte does not hold it.
    #[test]
    fn tagged_fields_have_their_size_in_front() {
        for (len, size) in [(0, &[0_u8][..]), (127, &[127]), (128, &[0x80, 1]), (20_000, &[0xa0, 0x9c, 1])] {
            let mut w = Writer::new();
            let start = w.begin_tagged_field(5);
            w.raw(&vec![7; len]);
            w.end_tagged_field(start);
            assert_eq!(w.into_bytes(), [&[5], size, &vec![7; len]].concat());
        }
    }

    #[test]
    fn what_was_written_as_an_error_is_known() {
        let mut w = Writer::new();
        for code in [ErrorCode::NONE, ErrorCode::INVALID_TIMESTAMP, ErrorCode(-1)] {
            w.error_code(code);
        }
        assert_eq!(w.take_error_codes(), [ErrorCode::INVALID_TIMESTAMP, ErrorCode::UNKNOWN_SERVER_ERROR]);
        assert_eq!(w.take_error_codes(), []);
        assert_eq!(w.into_bytes().len(), 6);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let text = "x".repeat(32768);
        let error = EncodeError::TooLong { what: "a string", length: 32768 };
        assert_eq!(Writer::new().string(false, &text), Err(error));
        assert_eq!(Writer::new().string(true, &text), Ok(()));
        assert_eq!(Writer::new().string(false, &text[1..]), Ok(()));
    }
}
