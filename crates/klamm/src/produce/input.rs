//! Cuts a stream of bytes into pieces at a delimiter.

use std::io::{self, BufRead, BufReader, Read};

/// The pieces of a stream between delimiters, without them. A stream that ends in a delimiter has no empty piece after it.
pub(crate) struct Pieces<R> {
    reader: BufReader<R>,
    delimiter: Vec<u8>,
}

const BUFFER_BYTES: usize = 256 * 1024;

impl<R: Read> Pieces<R> {
    /// `delimiter` is not empty.
    pub(crate) fn new(reader: R, delimiter: Vec<u8>) -> Self {
        assert!(!delimiter.is_empty(), "an empty delimiter would cut the stream nowhere");
        Self { reader: BufReader::with_capacity(BUFFER_BYTES, reader), delimiter }
    }

    /// The next piece, `None` at the end of the stream.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let last = self.delimiter[self.delimiter.len() - 1];
        let mut piece = Vec::new();
        while self.reader.read_until(last, &mut piece)? > 0 {
            if piece.ends_with(&self.delimiter) {
                piece.truncate(piece.len() - self.delimiter.len());
                return Ok(Some(piece));
            }
        }
        Ok(if piece.is_empty() { None } else { Some(piece) })
    }

    /// Whether the next piece, or its beginning, is there already: otherwise this may be the moment to send what was read.
    pub(crate) fn has_more_at_hand(&self) -> bool {
        !self.reader.buffer().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(input: &str, delimiter: &str) -> Vec<String> {
        let mut pieces = Pieces::new(input.as_bytes(), delimiter.as_bytes().to_vec());
        let mut found = Vec::new();
        while let Some(piece) = pieces.next_piece().unwrap() {
            found.push(String::from_utf8(piece).unwrap());
        }
        found
    }

    #[test]
    fn streams_are_cut_at_delimiters() {
        let table: &[(&str, &str, &[&str])] = &[
            ("", "\n", &[]),
            ("\n", "\n", &[""]),
            ("a\nb", "\n", &["a", "b"]),
            ("a\n\nb\n", "\n", &["a", "", "b"]),
            ("a\r\nb\nc\r\n", "\r\n", &["a", "b\nc"]),
            ("a--b-c--", "--", &["a", "b-c"]),
            ("a\0b", "\0", &["a", "b"]),
        ];
        for (input, delimiter, expected) in table {
            assert_eq!(pieces(input, delimiter), *expected, "{input:?}");
        }
    }
}
