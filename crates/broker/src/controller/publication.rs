//! Publishing what is committed, in the order of the log, beside the driver's loop: what a node does about an image may take long, and
//! elections do not wait for it.

use std::sync::Arc;

use klamm_metadata::{MetadataDelta, MetadataImage};
use tokio::sync::mpsc;

use super::driver::Publisher;

/// What is called when a decision is committed, and the image that has it is published.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// One step of the log that is committed.
pub(super) struct Publication {
    /// The new image, if there is one, and what changed since the one before; nothing for the first.
    pub(super) image: Option<(Arc<MetadataImage>, Option<MetadataDelta>)>,
    /// To be called after that.
    pub(super) answers: Vec<Answer>,
}

/// Publishes one after the other until the driver ends.
pub(super) async fn publish_all(
    mut publisher: impl Publisher,
    mut publications: mpsc::UnboundedReceiver<Publication>,
) {
    while let Some(Publication { image, answers }) = publications.recv().await {
        if let Some((image, delta)) = image {
            publisher.publish(image, delta).await;
        }
        answers.into_iter().for_each(|answer| answer());
    }
}
