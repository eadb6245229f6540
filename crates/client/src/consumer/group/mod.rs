pub(crate) mod assignor;
pub(crate) mod offsets;
pub(crate) mod subscription;
