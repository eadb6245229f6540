//! KRaft consensus.
