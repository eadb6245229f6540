//! Consumer groups by the classic protocol: membership, assignors, committed offsets.

pub(crate) mod assignor;
pub(crate) mod membership;
pub(crate) mod offsets;
pub(crate) mod subscription;
