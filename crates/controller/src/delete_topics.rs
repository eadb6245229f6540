//! DeleteTopics, by name or by id.

use klamm_metadata::MetadataRecord;
use klamm_protocol::messages::delete_topics_request::DeleteTopicState;
use klamm_protocol::messages::delete_topics_response::DeletableTopicResult;
use klamm_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, RemoveTopicRecord};
use klamm_protocol::{ErrorCode, Uuid};

use crate::refusal::{Refusal, error_fields};
use crate::state::{Controller, Decision};

impl Controller {
    /// Deletes topics. Whether deleting is enabled, and who may, the caller has checked.
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest<'_>,
    ) -> Decision<DeleteTopicsResponse<'static>> {
        let by_name = request.topic_names.iter().map(|name| (Some(name.as_ref()), Uuid::ZERO));
        let named = |topic: &DeleteTopicState<'_>| topic.name.as_ref().map(|name| name.to_string());
        let states: Vec<_> = request.topics.iter().map(|topic| (named(topic), topic.topic_id)).collect();
        let states = states.iter().map(|(name, id)| (name.as_deref(), *id));
        let wanted: Vec<_> = by_name.chain(states).collect();
        let mut deleted = Vec::new();
        let mut response = DeleteTopicsResponse::default();
        for (name, id) in wanted {
            let result = self.topic_to_delete(name, id, &deleted);
            let (error_code, error_message) = error_fields(&result);
            let (known_name, topic_id) = match &result {
                Ok(topic) => (Some(topic.0.clone()), topic.1),
                Err(_) => (name.map(str::to_owned), id),
            };
            deleted.extend(result.map(|(_, id)| id));
            response.responses.push(DeletableTopicResult {
                name: known_name.map(Into::into),
                topic_id,
                error_code,
                error_message,
            });
        }
        let record = |topic_id| MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id });
        Decision::new(deleted.into_iter().map(record).collect(), response)
    }

    fn topic_to_delete(
        &self,
        name: Option<&str>,
        id: Uuid,
        deleted: &[Uuid],
    ) -> Result<(String, Uuid), Refusal> {
        let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        let topic =
            match name {
                Some(_) if id != Uuid::ZERO => {
                    return invalid("a topic is named by its name or by its id, not both");
                }
                None if id == Uuid::ZERO => return invalid("neither name nor id of a topic"),
                Some(name) => self.topic(name)?,
                None => self.image.topics.by_id(id).ok_or_else(|| {
                    Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("no topic has id {id}"))
                })?,
            };
        if deleted.contains(&topic.id) {
            return invalid("the topic is there twice in one request");
        }
        Ok((topic.name.to_string(), topic.id))
    }
}
