//! The partition log on disk.
