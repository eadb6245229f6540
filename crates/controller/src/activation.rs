//! What a controller writes first when it takes the lead.

use klamm_metadata::configs::ConfigResourceType;
use klamm_metadata::{MetadataImage, MetadataRecord};
use klamm_protocol::messages::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord,
};

/// Name of the metadata transaction around the first records.
const TRANSACTION_NAME: &str = "Bootstrap records";

/// Records that a controller appends when it takes the lead at `image`, `in_transaction` saying whether the log ends inside a metadata
/// transaction (KIP-868), which is then aborted.
///
/// A log without metadata yet gets `bootstrap`, the records of the formatting snapshot, in one transaction, with the cluster-wide
/// `min.insync.replicas` that eligible leader replicas count on (KIP-966).
pub fn bootstrap_records(
    image: &MetadataImage,
    in_transaction: bool,
    bootstrap: &[MetadataRecord<'static>],
    min_insync_replicas: i32,
) -> Vec<MetadataRecord<'static>> {
    let mut records = Vec::new();
    if in_transaction {
        let reason = Some("Controller failover".into());
        records.push(MetadataRecord::AbortTransaction(AbortTransactionRecord { reason }));
    }
    if image.features.metadata_version_if_set().is_some() {
        return records;
    }
    let fresh = MetadataImage::from_snapshot(bootstrap, Default::default()).unwrap_or_default();
    let in_one_transaction = fresh.metadata_version().supports_metadata_transactions();
    if in_one_transaction {
        let name = Some(TRANSACTION_NAME.into());
        records.push(MetadataRecord::BeginTransaction(BeginTransactionRecord { name }));
    }
    records.extend_from_slice(bootstrap);
    if fresh.features.eligible_leader_replicas_enabled() {
        records.push(cluster_min_isr(min_insync_replicas));
    }
    if in_one_transaction {
        records.push(MetadataRecord::EndTransaction(EndTransactionRecord {}));
    }
    records
}

/// The cluster-wide `min.insync.replicas`.
pub(crate) fn cluster_min_isr(min_insync_replicas: i32) -> MetadataRecord<'static> {
    MetadataRecord::Config(ConfigRecord {
        resource_type: ConfigResourceType::Broker.code(),
        resource_name: "".into(),
        name: "min.insync.replicas".into(),
        value: Some(min_insync_replicas.to_string().into()),
    })
}
