//! Receive buffers shared by the connections of one thread.
//!
//! A connection needs a buffer only while bytes of an incomplete or unhandled frame are in it. Between frames the buffer
//! goes back to the pool, so ten thousand idle connections hold nothing, and the busy ones take turns with the few
//! buffers that are still in the processor's cache.

use std::cell::RefCell;
use std::rc::Rc;

/// The free buffers of one thread. Cloning gives another handle to the same pool.
#[derive(Clone)]
pub struct BufferPool {
    free: Rc<RefCell<Free>>,
}

struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `bytes_max` bytes of free buffers; what comes back beyond that is freed.
    pub fn new(bytes_max: usize) -> Self {
        Self { free: Rc::new(RefCell::new(Free { buffers: Vec::new(), bytes: 0, bytes_max })) }
    }

    /// The buffer that was given back last, or an empty one. Its length is its usable size; its content is stale.
    pub fn take(&self) -> Vec<u8> {
        let mut free = self.free.borrow_mut();
        let buffer = free.buffers.pop().unwrap_or_default();
        free.bytes -= buffer.len();
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if !buffer.is_empty() && free.bytes + buffer.len() <= free.bytes_max {
            free.bytes += buffer.len();
            free.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_up_to_its_bound_and_hands_out_the_latest() {
        let pool = BufferPool::new(100);
        pool.give(vec![0; 60]);
        pool.give(vec![0; 41]);
        pool.give(vec![0; 40]);
        assert_eq!(pool.take().len(), 40);
        assert_eq!(pool.take().len(), 60);
        assert_eq!(pool.take().len(), 0);
        pool.give(vec![0; 100]);
        assert_eq!(pool.take().len(), 100);
    }
}
