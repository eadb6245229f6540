//! Every bound of the broker that is not a Kafka setting, and what happens at it.

/// Requests of one connection that may wait for their answers at the same time. At the bound the connection is not read
/// further until the oldest is answered, and TCP holds the peer back.
pub(crate) const REQUESTS_IN_FLIGHT_MAX: usize = 128;

/// Bytes of answers that may wait in memory for a slow peer. At the bound the connection's requests are not handled until
/// some of them have left.
pub(crate) const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// Free receive buffers kept by each worker. Beyond the bound a buffer is freed when its connection has no use for it.
pub(crate) const FREE_BUFFER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Threads for work that waits on the disk: flushes, deletions, loading, cold reads. At the bound such work queues.
pub(crate) const BLOCKING_THREADS_MAX: usize = 16;

/// How long a blocking thread without work is kept.
pub(crate) const BLOCKING_THREAD_IDLE_MS: u64 = 5_000;

/// How long a stopping process waits for helper threads that are still at work. What they were at is found and mended on the next start.
pub(crate) const STOP_MS_MAX: u64 = 300;

/// How long a connection that is being shut down may take to receive the answers that are ready.
pub(crate) const SHUTDOWN_GRACE_MS: u64 = 300;

/// Pause after an `accept` that failed, so that running out of descriptors does not spin.
pub(crate) const ACCEPT_RETRY_MS: u64 = 50;

/// Connections of the metrics listener at a time. At the bound the next waits to be accepted.
pub(crate) const METRICS_CONNECTIONS_MAX: usize = 8;

/// Bytes of an HTTP request. A larger one is refused.
pub(crate) const METRICS_REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How long an HTTP exchange may take. After that the connection is closed.
pub(crate) const METRICS_EXCHANGE_MS_MAX: u64 = 10_000;

/// Topics whose traffic a scrape shows, the first by name. The others count only in the sum.
pub(crate) const METRICS_TOPICS_MAX: usize = 5_000;

/// Partitions whose logs a scrape shows, the first by topic and index.
pub(crate) const METRICS_PARTITIONS_MAX: usize = 10_000;

/// Committed offsets that a scrape shows, the first by partition of the offsets topic, group, topic and index.
pub(crate) const METRICS_GROUP_OFFSETS_MAX: usize = 10_000;

/// How long the controller is asked to change in-sync replicas before the request is made anew from what is proposed then.
pub(crate) const ISR_CHANGE_MS_MAX: u64 = 10_000;

/// The wait before in-sync replicas are proposed again that the controller refused or did not answer.
pub(crate) const ISR_CHANGE_RETRY_MS: u64 = 50;

/// The first wait before a leader is asked again after an error; each further one is twice as long, up to `replica.fetch.backoff.ms`.
pub(crate) const REPLICA_RETRY_MS_MIN: u64 = 20;

/// Files of inactive segments that are kept open. Beyond the bound the one that was used least recently is closed.
pub(crate) const OPEN_FILES_MAX: usize = 4096;

/// Threads that load partitions on start, and close them on stop.
pub(crate) const LOAD_THREADS_MAX: usize = 8;

/// Replicas whose directories one request tells the controller. The rest waits for the next.
pub(crate) const ASSIGNMENTS_PER_REQUEST_MAX: usize = 2250;

/// Leader elections that one balancing step makes. What is left waits for the next.
pub(crate) const ELECTIONS_PER_STEP_MAX: usize = 1000;

/// How long a stopping broker waits for the controller's leave when no other broker could take its leaderships. After that it stops all
/// the same.
pub(crate) const CONTROLLED_SHUTDOWN_ALONE_MS_MAX: u64 = 400;

/// Bytes of an answer from another node, which are received as they come and not reserved. A larger one ends the connection.
pub(crate) const PEER_FRAME_BYTES_MAX: usize = i32::MAX as usize;

/// Connections to one other node that rest. At the bound the one that rests longest is closed.
pub(crate) const PEER_CONNECTIONS_IDLE_MAX: usize = 4;

/// Other nodes to which connections rest. At the bound those to one of them are closed.
pub(crate) const PEERS_IDLE_MAX: usize = 256;

/// How long a connection may rest; its peer would close it after `connections.max.idle.ms`, 10 minutes. An older one is closed.
pub(crate) const PEER_CONNECTION_IDLE_MS_MAX: u64 = 9 * 60 * 1000;

/// How long an answer waits for metadata that another node's controller has committed and that is not here yet. After that it is given as
/// far as the metadata is known, and the client asks again.
pub(crate) const METADATA_WAIT_MS_MAX: u64 = 1000;

/// Bytes of a metadata snapshot. A larger one is neither read nor loaded from the leader.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// How long a stopping leader of the metadata quorum waits until the others know that it steps down. After that it stops all the same, and
/// they notice by themselves.
pub(crate) const RESIGNATION_MS_MAX: u64 = 200;

/// Images of the metadata that wait to be published. Beyond the bound those in between are left out, and the node goes on with the last.
pub(crate) const PUBLICATIONS_WAITING_MAX: usize = 64;
