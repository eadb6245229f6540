//! Turns batches of the metadata log into images worth publishing.
//!
//! Metadata transactions (KIP-868) may span batches: their records show only once the transaction ends, and not at all when it is
//! aborted.

use klamm_protocol::metadata_record::MetadataRecord;

use crate::delta::MetadataDelta;
use crate::image::{ApplyError, MetadataImage, Provenance};

/// An image and what changed since the one published before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The new image.
    pub image: MetadataImage,
    /// What differs from the image before.
    pub delta: MetadataDelta,
}

/// Replays committed batches in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct MetadataLoader {
    /// Everything outside the open transaction, with the delta since the last publication.
    base: Published,
    /// `base` and the records of the open transaction.
    transaction: Option<Published>,
}

impl MetadataLoader {
    /// A loader that continues from an image, such as a snapshot's.
    pub fn new(image: MetadataImage) -> Self {
        Self { base: Published { image, delta: MetadataDelta::default() }, transaction: None }
    }

    /// The image last published.
    pub fn image(&self) -> &MetadataImage {
        &self.base.image
    }

    /// Whether a transaction has begun and not ended.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Applies one batch; `provenance` is that of its last record. A batch of control records is one without metadata records.
    /// None while an open transaction hides the result. After an error the loader is as before.
    pub fn apply(
        &mut self,
        records: &[MetadataRecord<'_>],
        provenance: Provenance,
    ) -> Result<Option<Published>, ApplyError> {
        let mut next = self.clone();
        for record in records {
            next.replay(record)?;
        }
        *self = next;
        if self.in_transaction() {
            return Ok(None);
        }
        self.base.image.provenance = provenance;
        let delta = std::mem::take(&mut self.base.delta);
        Ok(Some(Published { image: self.base.image.clone(), delta }))
    }

    fn replay(&mut self, record: &MetadataRecord<'_>) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::BeginTransaction(_) if self.in_transaction() => {
                return Err(ApplyError::Transaction("a transaction begins inside another"));
            }
            MetadataRecord::BeginTransaction(_) => self.transaction = Some(self.base.clone()),
            MetadataRecord::EndTransaction(_) => {
                let ended = self.transaction.take();
                self.base = ended.ok_or(ApplyError::Transaction("a transaction ends that has not begun"))?;
            }
            MetadataRecord::AbortTransaction(_) => {
                let aborted = self.transaction.take();
                aborted.ok_or(ApplyError::Transaction("a transaction is aborted that has not begun"))?;
            }
            _ => {
                let Published { image, delta } = self.transaction.as_mut().unwrap_or(&mut self.base);
                image.replay(record, delta)?;
            }
        }
        Ok(())
    }
}
