//! Reading values from bytes that nobody vouches for.

use std::borrow::Cow;

use crate::{DecodeError, DecodeErrorKind, ErrorCode, Records, Uuid};

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

/// A value whose size never varies; what fast arrays are made of.
pub trait Fixed: Copy {
    /// Its size in bytes.
    const SIZE: usize;
    /// From exactly [`SIZE`](Self::SIZE) bytes.
    fn from_wire(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn to_wire(self, bytes: &mut Vec<u8>);
}

macro_rules! fixed_numbers {
    ($($number:ty),*) => {$(
        impl Fixed for $number {
            const SIZE: usize = size_of::<Self>();

            #[inline]
            fn from_wire(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<Self>()];
                array.copy_from_slice(bytes);
                Self::from_be_bytes(array)
            }

            #[inline]
            fn to_wire(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

fixed_numbers!(i8, i16, i32, i64, u16, u32, f64);

impl Fixed for Uuid {
    const SIZE: usize = 16;

    #[inline]
    fn from_wire(bytes: &[u8]) -> Self {
        let mut id = Self::ZERO;
        id.0.copy_from_slice(bytes);
        id
    }

    #[inline]
    fn to_wire(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }
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
