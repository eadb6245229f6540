//! Zstandard frames, one behind the other.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, compress_bound, get_error_name};

use super::{InflateError, step_bytes};

/// A context that grew beyond this, for a frame with a large window, is not kept.
const IDLE_CONTEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

thread_local! {
    static IDLE_DECOMPRESS: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static IDLE_COMPRESS: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(input: &[u8], level: i32, out: &mut Vec<u8>) {
    let mut context = IDLE_COMPRESS.take().unwrap_or_else(CCtx::create);
    context.set_parameter(CParameter::CompressionLevel(level)).expect("the level is in range");
    let start = out.len();
    out.resize(start + compress_bound(input.len()), 0);
    let size =
        context.compress2(&mut out[start..], input).expect("the buffer holds the largest possible frame");
    out.truncate(start + size);
    if context.sizeof() <= IDLE_CONTEXT_BYTES_MAX {
        IDLE_COMPRESS.set(Some(context));
    }
}

pub(crate) struct Inflate<'a> {
    input: InBuffer<'a>,
    context: Option<DCtx<'static>>,
    /// Whether a frame has begun and not ended.
    within_frame: bool,
}

impl<'a> Inflate<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Self, InflateError> {
        let mut context = IDLE_DECOMPRESS.take().unwrap_or_else(DCtx::create);
        context.init().map_err(describe)?;
        Ok(Self { input: InBuffer::around(input), context: Some(context), within_frame: true })
    }

    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        let Some(context) = &mut self.context else { return Ok(()) };
        let before = out.len();
        out.reserve(step_bytes(self.input.src.len()));
        while out.len() == before && (self.within_frame || self.input.pos() < self.input.src.len()) {
            let consumed = self.input.pos();
            let mut step = OutBuffer::around_pos(out, before);
            let hint = context.decompress_stream(&mut step, &mut self.input).map_err(describe)?;
            self.within_frame = hint != 0;
            if self.within_frame && step.pos() == before && self.input.pos() == consumed {
                return Err("zstd: the stream ends early".to_owned());
            }
        }
        Ok(())
    }
}

impl Drop for Inflate<'_> {
    fn drop(&mut self) {
        let context = self.context.take();
        if context.as_ref().is_some_and(|context| context.sizeof() <= IDLE_CONTEXT_BYTES_MAX) {
            IDLE_DECOMPRESS.set(context);
        }
    }
}

fn describe(code: usize) -> InflateError {
    format!("zstd: {}", get_error_name(code))
}
