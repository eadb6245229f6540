//! What must survive a restart so that no replica votes twice in an epoch: the contents of the `quorum-state` file.

use klamm_protocol::Uuid;
use serde_json::{Value, json};
use thiserror::Error;

use crate::voters::ReplicaKey;

/// The epoch a replica is in, and what it did in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionState {
    /// The epoch; 0 before the first election.
    pub epoch: i32,
    /// The epoch's leader, if the replica knows it.
    pub leader_id: Option<i32>,
    /// Whom the replica voted for in the epoch.
    pub voted: Option<ReplicaKey>,
}

/// A `quorum-state` file that cannot be read.
#[derive(Debug, Error)]
pub enum ElectionStateError {
    /// It is no JSON object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// Neither version 0 nor 1.
    #[error("data_version {0} is not supported")]
    Version(i64),
    /// A field is absent or holds something else.
    #[error("field '{0}' is missing or wrong")]
    Field(&'static str),
}

impl ElectionState {
    /// The file's text: `data_version` 1 from `kraft.version` 1 on, else 0, which lists the static voters.
    pub fn to_json(&self, kraft_version: i16, voter_ids: &[i32]) -> String {
        let voted_id = self.voted.map_or(-1, |voted| voted.id);
        let leader_id = self.leader_id.unwrap_or(-1);
        if kraft_version == 0 {
            let voters: Vec<_> = voter_ids.iter().map(|id| format!("{{\"voterId\":{id}}}")).collect();
            return format!(
                "{{\"clusterId\":\"\",\"leaderId\":{leader_id},\"leaderEpoch\":{},\"votedId\":{voted_id},\
                 \"appliedOffset\":0,\"currentVoters\":[{}],\"data_version\":0}}",
                self.epoch,
                voters.join(",")
            );
        }
        let directory = self.voted.map_or(Uuid::ZERO, ReplicaKey::directory_or_zero);
        format!(
            "{{\"leaderId\":{leader_id},\"leaderEpoch\":{},\"votedId\":{voted_id},\
             \"votedDirectoryId\":{},\"data_version\":1}}",
            self.epoch,
            json!(directory.to_string())
        )
    }

    /// Reads the file's text.
    pub fn from_json(text: &[u8]) -> Result<Self, ElectionStateError> {
        let value: Value = serde_json::from_slice(text).map_err(|_| ElectionStateError::NotAnObject)?;
        let object = value.as_object().ok_or(ElectionStateError::NotAnObject)?;
        let number = |name: &'static str| {
            let number =
                object.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
            number.ok_or(ElectionStateError::Field(name))
        };
        let voted_id = number("votedId")?;
        let voted = match object.get("data_version").and_then(Value::as_i64) {
            Some(0) => ReplicaKey::of_id(voted_id),
            Some(1) => {
                let id =
                    object.get("votedDirectoryId").and_then(Value::as_str).and_then(|id| id.parse().ok());
                ReplicaKey::new(voted_id, id.ok_or(ElectionStateError::Field("votedDirectoryId"))?)
            }
            Some(other) => return Err(ElectionStateError::Version(other)),
            None => return Err(ElectionStateError::Field("data_version")),
        };
        let leader_id = number("leaderId")?;
        Ok(Self {
            epoch: number("leaderEpoch")?,
            leader_id: (leader_id >= 0).then_some(leader_id),
            voted: (voted_id >= 0).then_some(voted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_kafka_writes_them() {
        let cases = [
            (
                "__cluster_metadata-0",
                1,
                r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
                ElectionState { epoch: 1, leader_id: Some(1), voted: None },
            ),
            (
                "static-quorum",
                0,
                r#"{"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#,
                ElectionState { epoch: 1, leader_id: Some(1), voted: None },
            ),
            (
                "a vote cast",
                1,
                r#"{"leaderId":-1,"leaderEpoch":7,"votedId":3,"votedDirectoryId":"AQEBAQEBAQEBAQEBAQEBAQ","data_version":1}"#,
                ElectionState { epoch: 7, leader_id: None, voted: Some(ReplicaKey::new(3, Uuid([1; 16]))) },
            ),
        ];
        for (name, kraft_version, text, state) in cases {
            assert_eq!(ElectionState::from_json(text.as_bytes()).unwrap(), state, "{name}");
            assert_eq!(state.to_json(kraft_version, &[1]), text, "{name}");
        }
    }

    #[test]
    fn broken_files_name_what_is_wrong() {
        let cases = [
            ("", "it is not a JSON object"),
            ("[]", "it is not a JSON object"),
            ("{}", "field 'votedId' is missing or wrong"),
            (r#"{"votedId":-1,"data_version":2}"#, "data_version 2 is not supported"),
            (r#"{"votedId":-1,"data_version":1}"#, "field 'votedDirectoryId' is missing or wrong"),
            (
                r#"{"votedId":-1,"data_version":0,"leaderId":99999999999}"#,
                "field 'leaderId' is missing or wrong",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(ElectionState::from_json(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
    }
}
