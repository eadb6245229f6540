//! gzip members (RFC 1952), one behind the other.

use std::cell::RefCell;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::{InflateError, step_bytes};

const WINDOW_BITS: u8 = 15;
const MAGIC: [u8; 2] = [0x1f, 0x8b];

thread_local! {
    static IDLE_DECOMPRESS: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    static IDLE_COMPRESS: RefCell<Option<(i32, Compress)>> = const { RefCell::new(None) };
}

pub(super) fn compress(input: &[u8], level: i32, out: &mut Vec<u8>) {
    let mut context = match IDLE_COMPRESS.take() {
        Some((idle_level, context)) if idle_level == level => context,
        _ => Compress::new_gzip(
            u32::try_from(level).map_or_else(|_| Default::default(), flate2::Compression::new),
            WINDOW_BITS,
        ),
    };
    context.reset();
    loop {
        out.reserve(input.len() / 4 + 1024);
        let consumed = context.total_in() as usize;
        let status = context.compress_vec(&input[consumed..], out, FlushCompress::Finish);
        if status.expect("the encoder accepts all input") == Status::StreamEnd {
            break;
        }
    }
    IDLE_COMPRESS.set(Some((level, context)));
}

pub(crate) struct Inflate<'a> {
    input: &'a [u8],
    /// Present while a member is being read.
    context: Option<Decompress>,
}

impl<'a> Inflate<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, context: Some(fresh_context()) }
    }

    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        out.reserve(step_bytes(self.input.len()));
        let before = out.len();
        while let Some(context) = &mut self.context {
            let consumed_before = context.total_in();
            let status = context.decompress_vec(self.input, out, FlushDecompress::None);
            let status = status.map_err(|error| format!("gzip: {error}"))?;
            let consumed = (context.total_in() - consumed_before) as usize;
            self.input = &self.input[consumed..];
            if status == Status::StreamEnd {
                self.next_member();
            } else if out.len() == before && consumed == 0 {
                return Err("gzip: the stream ends early".to_owned());
            }
            if out.len() > before {
                break;
            }
        }
        Ok(())
    }

    /// Goes on with another member, or to the end; bytes that begin no member are ignored, as Java does.
    fn next_member(&mut self) {
        match &mut self.context {
            Some(context) if self.input.starts_with(&MAGIC) => context.reset(true),
            _ => IDLE_DECOMPRESS.set(self.context.take()),
        }
    }
}

impl Drop for Inflate<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            IDLE_DECOMPRESS.set(Some(context));
        }
    }
}

fn fresh_context() -> Decompress {
    let mut context = IDLE_DECOMPRESS.take().unwrap_or_else(|| Decompress::new_gzip(WINDOW_BITS));
    context.reset(true);
    context
}
