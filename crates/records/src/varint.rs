//! Zigzag varints, as records use them for every length and delta, and a cursor that reads them.

/// Reads fields off the front of a byte slice. `None` means that the bytes end early or a varint is too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    /// A zigzag int32 of at most five bytes; bits beyond the 32nd are dropped, as Kafka does.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<i32> {
        let raw = self.unsigned(5)? as u32;
        Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag int64 of at most ten bytes.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        let raw = self.unsigned(10)?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Bytes behind a varint length; any negative length is null, as Kafka reads it.
    #[inline]
    pub(crate) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.varint()?) {
            Ok(len) => self.take(len).map(Some),
            Err(_) => Some(None),
        }
    }

    #[inline]
    fn unsigned(&mut self, len_max: usize) -> Option<u64> {
        match *self.bytes {
            [first, ref rest @ ..] if first < 0x80 => {
                self.bytes = rest;
                Some(u64::from(first))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.bytes = rest;
                Some(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.unsigned_long(len_max),
        }
    }

    fn unsigned_long(&mut self, len_max: usize) -> Option<u64> {
        let mut value = 0;
        for (index, &byte) in self.bytes.iter().take(len_max).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.bytes = &self.bytes[index + 1..];
                return Some(value);
            }
        }
        None
    }
}

/// Appends a zigzag int32.
pub(crate) fn write_varint(out: &mut Vec<u8>, value: i32) {
    write_unsigned(out, u64::from(zigzag32(value)));
}

/// Appends a zigzag int64.
pub(crate) fn write_varlong(out: &mut Vec<u8>, value: i64) {
    write_unsigned(out, zigzag64(value));
}

/// Bytes that [`write_varint`] needs.
pub(crate) fn varint_size(value: i32) -> usize {
    unsigned_size(u64::from(zigzag32(value)))
}

/// Bytes that [`write_varlong`] needs.
pub(crate) fn varlong_size(value: i64) -> usize {
    unsigned_size(zigzag64(value))
}

fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unsigned_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_values_survive() {
        for value in [0, -1, 1, 63, -64, 64, -65, 8191, 8192, i64::from(i32::MAX), i64::from(i32::MIN)] {
            let mut out = Vec::new();
            write_varint(&mut out, value as i32);
            assert_eq!(out.len(), varint_size(value as i32));
            assert_eq!(Cursor::new(&out).varint(), Some(value as i32));
        }
        for value in [0, -1, i64::MAX, i64::MIN, 1 << 40] {
            let mut out = Vec::new();
            write_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_size(value));
            assert_eq!(Cursor::new(&out).varlong(), Some(value));
        }
    }

    #[test]
    fn endless_and_cut_varints_are_refused() {
        assert_eq!(Cursor::new(&[0xff; 12]).varint(), None);
        assert_eq!(Cursor::new(&[0xff; 12]).varlong(), None);
        assert_eq!(Cursor::new(&[0x80]).varint(), None);
        assert_eq!(Cursor::new(&[]).varlong(), None);
        assert_eq!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x00]).varint(), Some(0));
    }
}
