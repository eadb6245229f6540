//! Reading values from bytes that nobody vouches for.

use std::borrow::Cow;

use crate::{DecodeError, DecodeErrorKind, ErrorCode, Fixed, Records, Uuid};

/// The most elements of one array.
const ARRAY_ELEMENTS_MAX: usize = 1_000_000;
/// The most tagged fields of one section.
const TAGGED_FIELDS_MAX: u32 = 10_000;
/// Decoded arrays may take this much memory for each byte read from. Structures are larger in memory than
/// on the wire (an empty string is 24 bytes for one), but in honest messages rarely ten times.
const MEMORY_PER_BYTE: usize = 16;
/// And this much besides, for small messages.
const MEMORY_BASE: usize = 64 * 1024;
/// How much of an array is allocated before its first element is read.
const FIRST_ALLOCATION: usize = 16 * 1024;

/// Reads values off the front of a slice.
///
/// Every length is checked against the bytes that remain before anything is allocated, and all arrays
/// together may take only a small multiple of the slice's length. Strings, bytes and records borrow.
///
/// Lengths come in two forms: plain (int16 or int32, null is negative) and, where `flex` is set, compact
/// (an unsigned varint of length + 1, null is 0).
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    memory_left: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let memory_left = bytes.len().saturating_mul(MEMORY_PER_BYTE).saturating_add(MEMORY_BASE);
        Self { rest: bytes, total: bytes.len(), memory_left }
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Refuses bytes that are left over.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(DecodeError::new(self, DecodeErrorKind::TrailingBytes(len))),
        }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else { return Err(self.truncated(len)) };
        self.rest = rest;
        Ok(taken)
    }

    /// Passes over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.take(len).map(drop)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((chunk, rest)) = self.rest.split_first_chunk() else { return Err(self.truncated(N)) };
        self.rest = rest;
        Ok(*chunk)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::new(self, DecodeErrorKind::Truncated { needed, remaining: self.rest.len() })
    }

    #[cold]
    fn unexpected_null(&self) -> DecodeError {
        DecodeError::new(self, DecodeErrorKind::UnexpectedNull)
    }
}

/// Values of fixed size.
impl Reader<'_> {
    /// A bool: one byte, zero is false.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.chunk::<1>().map(|[byte]| byte != 0)
    }

    /// An int8.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.chunk().map(i8::from_be_bytes)
    }

    /// A byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    /// An int16.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.chunk().map(i16::from_be_bytes)
    }

    /// An int32.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.chunk().map(i32::from_be_bytes)
    }

    /// An int64.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// A uint16.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.chunk().map(u16::from_be_bytes)
    }

    /// A uint32.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.chunk().map(u32::from_be_bytes)
    }

    /// A float64.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.chunk().map(f64::from_be_bytes)
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.chunk().map(Uuid)
    }

    /// An int16 that is an error code.
    #[inline]
    pub fn error_code(&mut self) -> Result<ErrorCode, DecodeError> {
        self.i16().map(ErrorCode)
    }
}

/// Numbers of variable length: seven bits a byte, the lowest first.
impl Reader<'_> {
    /// An unsigned number of at most 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u32, DecodeError> {
        let value = self.unsigned_varlong()?;
        u32::try_from(value).map_err(|_| DecodeError::new(self, DecodeErrorKind::VarintTooLong))
    }

    /// An unsigned number of at most 64 bits.
    pub fn unsigned_varlong(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::new(self, DecodeErrorKind::VarintTooLong))
    }

    /// A signed number of at most 32 bits, zigzag.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        self.unsigned_varint().map(|n| (n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// A signed number of at most 64 bits, zigzag.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        self.unsigned_varlong().map(|n| (n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
}

/// Strings, bytes and records.
impl<'a> Reader<'a> {
    /// A string that is not null.
    #[inline]
    pub fn string(&mut self, flex: bool) -> Result<Cow<'a, str>, DecodeError> {
        match self.nullable_string(flex)? {
            Some(text) => Ok(text),
            None => Err(self.unexpected_null()),
        }
    }

    /// A string or null.
    #[inline]
    pub fn nullable_string(&mut self, flex: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let len = if flex { self.compact_len()? } else { usize::try_from(self.i16()?).ok() };
        let Some(len) = len else { return Ok(None) };
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => Err(DecodeError::new(self, DecodeErrorKind::InvalidUtf8)),
        }
    }

    /// Bytes that are not null.
    #[inline]
    pub fn bytes(&mut self, flex: bool) -> Result<Cow<'a, [u8]>, DecodeError> {
        match self.byte_slice(flex)? {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Err(self.unexpected_null()),
        }
    }

    /// Bytes or null.
    #[inline]
    pub fn nullable_bytes(&mut self, flex: bool) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        Ok(self.byte_slice(flex)?.map(Cow::Borrowed))
    }

    /// Record batches that are not null.
    #[inline]
    pub fn records(&mut self, flex: bool) -> Result<Records<'a>, DecodeError> {
        self.bytes(flex).map(Records::Bytes)
    }

    /// Record batches or null.
    #[inline]
    pub fn nullable_records(&mut self, flex: bool) -> Result<Option<Records<'a>>, DecodeError> {
        Ok(self.nullable_bytes(flex)?.map(Records::Bytes))
    }

    #[inline]
    fn byte_slice(&mut self, flex: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        let len = if flex { self.compact_len()? } else { usize::try_from(self.i32()?).ok() };
        len.map(|len| self.take(len)).transpose()
    }

    /// A length plus one; zero is null.
    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.unsigned_varint()? as usize).checked_sub(1))
    }
}

/// Arrays, and structures that may be null.
impl<'a> Reader<'a> {
    /// An array that is not null; `element` reads one.
    #[inline]
    pub fn array<T>(
        &mut self,
        flex: bool,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        match self.nullable_array(flex, element)? {
            Some(array) => Ok(array),
            None => Err(self.unexpected_null()),
        }
    }

    /// An array or null; `element` reads one.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flex: bool,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(flex, 1, size_of::<T>())? else { return Ok(None) };
        let first = FIRST_ALLOCATION / size_of::<T>().max(1);
        let mut array = Vec::with_capacity(count.min(first));
        for _ in 0..count {
            array.push(element(self)?);
        }
        Ok(Some(array))
    }

    /// An array of values of fixed size that is not null.
    #[inline]
    pub fn fixed_array<T: Fixed>(&mut self, flex: bool) -> Result<Vec<T>, DecodeError> {
        match self.nullable_fixed_array(flex)? {
            Some(array) => Ok(array),
            None => Err(self.unexpected_null()),
        }
    }

    /// An array of values of fixed size, or null.
    #[inline]
    pub fn nullable_fixed_array<T: Fixed>(&mut self, flex: bool) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(flex, T::SIZE, size_of::<T>())? else { return Ok(None) };
        let bytes = self.take(count * T::SIZE)?;
        Ok(Some(bytes.chunks_exact(T::SIZE).map(T::from_wire).collect()))
    }

    /// An array's length, after checking it against all bounds; `wire` and `memory` are an element's sizes.
    fn count(&mut self, flex: bool, wire: usize, memory: usize) -> Result<Option<usize>, DecodeError> {
        let count = if flex { self.compact_len()? } else { usize::try_from(self.i32()?).ok() };
        let Some(count) = count else { return Ok(None) };
        if count > ARRAY_ELEMENTS_MAX {
            return Err(DecodeError::new(self, DecodeErrorKind::ArrayTooLong(count)));
        }
        if count * wire > self.rest.len() {
            return Err(self.truncated(count * wire));
        }
        match self.memory_left.checked_sub(count * memory) {
            Some(left) => self.memory_left = left,
            None => return Err(DecodeError::new(self, DecodeErrorKind::TooMuchMemory)),
        }
        Ok(Some(count))
    }

    /// Whether a structure that may be null is there: an int8, null is negative.
    #[inline]
    pub fn presence(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? >= 0)
    }

    /// The same in a tagged field: an unsigned varint, null is 0.
    #[inline]
    pub fn tagged_presence(&mut self) -> Result<bool, DecodeError> {
        Ok(self.unsigned_varint()? != 0)
    }
}

/// Tagged sections (KIP-482). As in Kafka, tags may come in any order, and the size of a field whose tag is
/// known is not looked at.
impl Reader<'_> {
    /// How many tagged fields follow.
    #[inline]
    pub fn tagged_field_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.unsigned_varint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::new(self, DecodeErrorKind::TooManyTaggedFields(count)));
        }
        Ok(count)
    }

    /// The tag and size of the field whose value follows.
    pub fn tagged_field(&mut self) -> Result<(u32, usize), DecodeError> {
        Ok((self.unsigned_varint()?, self.unsigned_varint()? as usize))
    }

    /// Passes over a whole section.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.tagged_field_count()? {
            let (_, size) = self.tagged_field()?;
            self.skip(size)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;

    fn kind<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> DecodeErrorKind {
        result.expect_err("an error").kind()
    }

    #[test]
    fn varints_round_trip() {
        let cases: [(i64, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for (number, bytes) in cases {
            assert_eq!(Reader::new(bytes).varlong(), Ok(number));
            let mut w = Writer::new();
            w.varlong(number);
            assert_eq!(w.as_bytes(), bytes);
            let Ok(small) = i32::try_from(number) else { continue };
            assert_eq!(Reader::new(bytes).varint(), Ok(small));
        }
        for number in [i32::MIN, i32::MAX] {
            let mut w = Writer::new();
            w.varint(number);
            assert_eq!(w.as_bytes().len(), 5);
            assert_eq!(Reader::new(w.as_bytes()).varint(), Ok(number));
        }
    }

    #[test]
    fn long_varints_are_refused() {
        let cases: [&[u8]; 3] =
            [&[0xff, 0xff, 0xff, 0xff, 0x10], &[0x80; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]];
        for bytes in cases {
            assert_eq!(
                kind(Reader::new(bytes).unsigned_varint()),
                DecodeErrorKind::VarintTooLong,
                "{bytes:?}"
            );
        }
        let past_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(kind(Reader::new(&past_64_bits).unsigned_varlong()), DecodeErrorKind::VarintTooLong);
    }

    #[test]
    fn lengths_are_checked_against_what_remains() {
        let truncated = |needed, remaining| DecodeErrorKind::Truncated { needed, remaining };
        assert_eq!(kind(Reader::new(&[0x7f, 0xff, 1]).string(false)), truncated(32767, 1));
        assert_eq!(kind(Reader::new(&[0x7f, 0xff, 0xff, 0xff]).bytes(false)), truncated(0x7fff_ffff, 0));
        let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(kind(Reader::new(&compact).bytes(true)), truncated(0xffff_fffe, 0));
        assert_eq!(kind(Reader::new(&[0, 0, 0, 9, 1]).array(false, |r| r.i8())), truncated(9, 1));
        assert_eq!(kind(Reader::new(&[0, 0, 0, 2, 0, 0, 0]).fixed_array::<i32>(false)), truncated(8, 3));
    }

    #[test]
    fn nulls_and_bad_text_are_refused() {
        assert_eq!(kind(Reader::new(&[0xff, 0xff]).string(false)), DecodeErrorKind::UnexpectedNull);
        assert_eq!(kind(Reader::new(&[0]).bytes(true)), DecodeErrorKind::UnexpectedNull);
        assert_eq!(kind(Reader::new(&[0]).fixed_array::<i32>(true)), DecodeErrorKind::UnexpectedNull);
        assert_eq!(kind(Reader::new(&[2, 0xff]).string(true)), DecodeErrorKind::InvalidUtf8);
    }

    #[test]
    fn arrays_have_bounds() {
        let mut bytes = vec![0; 2_000_000];
        bytes[..4].copy_from_slice(&1_000_001_i32.to_be_bytes());
        let too_long = DecodeErrorKind::ArrayTooLong(1_000_001);
        assert_eq!(kind(Reader::new(&bytes).array(false, |r| r.i8())), too_long);
        assert_eq!(kind(Reader::new(&bytes).fixed_array::<i8>(false)), too_long);
    }

    /// Elements of one byte that take 256 in memory: fine in a small message, refused in a large one, and
    /// all arrays of a message count together.
    #[test]
    fn memory_stays_in_proportion() {
        let mut element = |r: &mut Reader<'_>| r.u8().map(|byte| [u64::from(byte); 32]);
        let mut array = |bytes: &[u8]| Reader::new(bytes).array(false, &mut element).map(|array| array.len());
        let bytes_of = |count: i32| [&count.to_be_bytes()[..], &vec![0; count as usize]].concat();
        assert_eq!(array(&bytes_of(200)), Ok(200));
        assert_eq!(kind(array(&bytes_of(300))), DecodeErrorKind::TooMuchMemory);

        let twice = [bytes_of(200), bytes_of(200)].concat();
        let mut r = Reader::new(&twice);
        assert!(r.array(false, &mut element).is_ok());
        assert_eq!(kind(r.array(false, &mut element)), DecodeErrorKind::TooMuchMemory);
    }

    #[test]
    fn tagged_sections_have_bounds() {
        let mut w = Writer::new();
        w.unsigned_varint(10_001);
        w.raw(&[0; 30_000]);
        let error = kind(Reader::new(w.as_bytes()).skip_tagged_fields());
        assert_eq!(error, DecodeErrorKind::TooManyTaggedFields(10_001));
    }

    #[test]
    fn errors_say_where() {
        let mut r = Reader::new(&[0, 1, 2]);
        assert_eq!(r.i16(), Ok(1));
        let error = r.i32().expect_err("too short");
        assert_eq!(error.to_string(), "byte 2: 4 bytes expected, 1 remain");
    }
}
