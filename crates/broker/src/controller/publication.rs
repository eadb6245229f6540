//! Publishing what is committed, in the order of the log, beside the driver's loop: what a node does about an image may take long, and
//! elections do not wait for it.

use std::sync::Arc;

use klamm_metadata::{MetadataDelta, MetadataImage};
use tokio::sync::mpsc;

use super::driver::Publisher;
use crate::limits::PUBLICATIONS_WAITING_MAX;

/// What is called when a decision is committed, and the image that has it is published.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// One step of the log that is committed.
pub(super) struct Publication {
    /// The new image, if there is one, and what changed since the one before; nothing for the first.
    pub(super) image: Option<(Arc<MetadataImage>, Option<MetadataDelta>)>,
    /// To be called after that.
    pub(super) answers: Vec<Answer>,
}

/// Publishes one after the other until the driver ends. Where too many wait, those in between are left out: the last one has it all.
pub(super) async fn publish_all(
    mut publisher: impl Publisher,
    mut publications: mpsc::UnboundedReceiver<Publication>,
) {
    let mut published: Option<Arc<MetadataImage>> = None;
    let mut waiting = Vec::new();
    while publications.recv_many(&mut waiting, usize::MAX).await > 0 {
        if waiting.len() > PUBLICATIONS_WAITING_MAX {
            waiting = vec![merged(published.as_ref(), waiting)];
        }
        for Publication { image, answers } in waiting.drain(..) {
            if let Some((image, delta)) = image {
                published = Some(image.clone());
                publisher.publish(image, delta).await;
            }
            answers.into_iter().for_each(|answer| answer());
        }
    }
}

/// All of them as one step from the image that was published before.
fn merged(published: Option<&Arc<MetadataImage>>, all: Vec<Publication>) -> Publication {
    let mut merged = Publication { image: None, answers: Vec::new() };
    for Publication { image, answers } in all {
        merged.image = image.or(merged.image);
        merged.answers.extend(answers);
    }
    if let (Some(old), Some((new, delta))) = (published, &mut merged.image) {
        *delta = Some(MetadataDelta::between(old, new));
    } else if let Some((_, delta)) = &mut merged.image {
        *delta = None;
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use klamm_metadata::Provenance;
    use parking_lot::Mutex;

    use super::*;

    /// Remembers up to where each image reaches, and whether it came with a delta.
    struct Seen(Arc<Mutex<Vec<(i64, bool)>>>);

    impl Publisher for Seen {
        fn publish(
            &mut self,
            image: Arc<MetadataImage>,
            delta: Option<MetadataDelta>,
        ) -> Pin<Box<dyn Future<Output = ()> + '_>> {
            self.0.lock().push((image.provenance.last_offset, delta.is_some()));
            Box::pin(std::future::ready(()))
        }
    }

    fn run(count: i64) -> (Vec<(i64, bool)>, Vec<i64>) {
        let (send, received) = mpsc::unbounded_channel();
        let (seen, answered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        for offset in 0..count {
            let provenance = Provenance { last_offset: offset, ..Provenance::default() };
            let image = Arc::new(MetadataImage { provenance, ..MetadataImage::default() });
            let delta = (offset > 0).then(MetadataDelta::default);
            let answered = answered.clone();
            let answer: Answer = Box::new(move || answered.lock().push(offset));
            let sent = send.send(Publication { image: Some((image, delta)), answers: vec![answer] });
            assert!(sent.is_ok());
        }
        drop(send);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(publish_all(Seen(seen.clone()), received));
        let (seen, answered) = (seen.lock().clone(), answered.lock().clone());
        (seen, answered)
    }

    #[test]
    fn images_are_published_in_order_and_then_the_answers_given() {
        assert_eq!(run(3), (vec![(0, false), (1, true), (2, true)], vec![0, 1, 2]));
    }

    #[test]
    fn of_too_many_only_the_last_is_published() {
        let count = PUBLICATIONS_WAITING_MAX as i64 + 1;
        assert_eq!(run(count), (vec![(count - 1, false)], (0..count).collect()));
    }
}
