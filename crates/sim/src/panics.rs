//! Panics in tasks: the runtime swallows them, so they are caught where they are raised.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on, panics of any thread are kept for that thread instead of being printed.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()))
        }));
    });
    PANICS.take();
}

/// Whether there was a panic on this thread.
pub(crate) fn any() -> bool {
    PANICS.with_borrow(|panics| !panics.is_empty())
}

/// The panics of this thread.
pub(crate) fn take() -> Vec<String> {
    PANICS.take()
}
