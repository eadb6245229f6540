//! DeleteTopics, by name or by id.

use std::collections::BTreeSet;

use klamm_metadata::{MetadataRecord, Topic};
use klamm_protocol::messages::delete_topics_response::DeletableTopicResult;
use klamm_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, RemoveTopicRecord};
use klamm_protocol::{ErrorCode, Uuid};

use crate::refusal::{Refusal, error_fields};
use crate::repeated::first_of_each;
use crate::state::{Controller, Decision};

/// How a request names a topic: by its name, or by its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Naming<'r> {
    name: Option<&'r str>,
    id: Uuid,
}

impl Controller {
    /// Deletes topics. Whether deleting is enabled, and who may, the caller has checked.
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest<'_>,
    ) -> Decision<DeleteTopicsResponse<'static>> {
        let namings = namings(request);
        let found = first_of_each(&namings, |naming| naming).into_iter();
        let found: Vec<_> =
            found.map(|(naming, is_repeated)| (naming, self.topic_to_delete(naming, is_repeated))).collect();
        let ids: BTreeSet<Uuid> =
            namings.iter().filter(|naming| naming.name.is_none()).map(|naming| naming.id).collect();
        let by_name = found.iter().filter(|(naming, _)| naming.name.is_some());
        let by_name = by_name.filter_map(|(_, topic)| topic.as_ref().ok().map(|topic| topic.id));
        let in_both_ways: BTreeSet<Uuid> = by_name.filter(|id| ids.contains(id)).collect();
        let mut records = Vec::new();
        let mut responses = Vec::new();
        for (naming, topic) in found {
            responses.push(match topic {
                Ok(topic) if !in_both_ways.contains(&topic.id) => {
                    records.push(MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: topic.id }));
                    result(Some(&topic.name), topic.id, Ok(()))
                }
                // The entry of the name answers for both.
                Ok(_) if naming.name.is_none() => continue,
                Ok(topic) => result(naming.name, topic.id, Err(invalid("the topic is also named by its id"))),
                Err(refusal) => result(naming.name, naming.id, Err(refusal)),
            });
        }
        Decision::new(records, DeleteTopicsResponse { responses, ..Default::default() })
    }

    fn topic_to_delete(&self, naming: &Naming<'_>, is_repeated: bool) -> Result<&Topic, Refusal> {
        let by_id = |id| {
            let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("no topic has id {id}"));
            self.image.topics.by_id(id).ok_or_else(unknown)
        };
        let topic = match *naming {
            Naming { name: Some(_), id } if id != Uuid::ZERO => {
                Err(invalid("a topic is named by its name or by its id, not both"))
            }
            Naming { name: None, id: Uuid::ZERO } => Err(invalid("neither name nor id of a topic")),
            _ if is_repeated => Err(invalid("the topic is there twice in one request")),
            Naming { name: Some(name), .. } => self.topic(name),
            Naming { name: None, id } => by_id(id),
        };
        topic.map(|topic| &**topic)
    }
}

fn namings<'r>(request: &'r DeleteTopicsRequest<'_>) -> Vec<Naming<'r>> {
    let by_name = request.topic_names.iter().map(|name| Naming { name: Some(name), id: Uuid::ZERO });
    let by_either = request.topics.iter();
    let by_either = by_either.map(|topic| Naming { name: topic.name.as_deref(), id: topic.topic_id });
    by_name.chain(by_either).collect()
}

fn result(name: Option<&str>, topic_id: Uuid, result: Result<(), Refusal>) -> DeletableTopicResult<'static> {
    let (error_code, error_message) = error_fields(&result);
    DeletableTopicResult {
        name: name.map(|name| name.to_owned().into()),
        topic_id,
        error_code,
        error_message,
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUEST, message)
}
