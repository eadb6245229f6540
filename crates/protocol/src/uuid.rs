//! Kafka's ids of 128 bits.

use std::{fmt, str::FromStr};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

/// An id of 128 bits. As text it is base64 with the URL-safe alphabet and no padding, 22 letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

/// The text is no id: it is not 22 letters of the URL-safe base64 alphabet that hold 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 22 base64 letters")]
pub struct ParseUuidError;

impl Uuid {
    /// The id that stands for none.
    pub const ZERO: Self = Self([0; 16]);

    /// The id with these bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// The bits as a number.
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Whether this is [`ZERO`](Self::ZERO).
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; TEXT_LEN];
        for (index, letter) in text.iter_mut().enumerate() {
            *letter = ALPHABET[self.sextet(index)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl Uuid {
    /// Six bits from bit `6 * index` on; zeros past the end.
    fn sextet(self, index: usize) -> usize {
        let (byte, bit) = (index * 6 / 8, index * 6 % 8);
        let low = self.0.get(byte + 1).copied().unwrap_or(0);
        let pair = u16::from_be_bytes([self.0[byte], low]);
        usize::from(pair >> (10 - bit)) & 0x3f
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        if text.len() != TEXT_LEN {
            return Err(ParseUuidError);
        }
        let mut bits = 0_u128;
        for letter in text.bytes().take(TEXT_LEN - 1) {
            bits = bits << 6 | sextet_of(letter)?;
        }
        // The last letter carries the last two bits, and four that have to be zero.
        let last = sextet_of(text.as_bytes()[TEXT_LEN - 1])?;
        match last & 0x0f {
            0 => Ok(Self::from_u128(bits << 2 | last >> 4)),
            _ => Err(ParseUuidError),
        }
    }
}

fn sextet_of(letter: u8) -> Result<u128, ParseUuidError> {
    Ok(u128::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return Err(ParseUuidError),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let cases = [
            (Uuid::ZERO, "AAAAAAAAAAAAAAAAAAAAAA"),
            (Uuid::from_u128(1), "AAAAAAAAAAAAAAAAAAAAAQ"),
            (Uuid([0xff; 16]), "_____________________w"),
            (Uuid::from_u128(0xbc91_7199_876e_4a19_a6da_cbce_64b7_80f1), "vJFxmYduShmm2svOZLeA8Q"),
        ];
        for (id, text) in cases {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn bad_text_is_refused() {
        let cases = [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAA+A",
            "AAAAAAAAAAAAAAAAAAAAAB",
        ];
        for text in cases {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }
}
