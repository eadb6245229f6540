//! The file `quorum-state`: what a voter must remember across restarts, as one line of JSON.
//!
//! The names are those of [`QuorumStateData`] with a small first letter, ids are base64 text, and
//! `data_version` says the version: 1 where the quorum runs kraft.version 1, else 0.

use std::{borrow::Cow, fmt::Display};

use serde_json::{Value, json};

pub use crate::messages::quorum_state_data::{QuorumStateData, Voter};
use crate::{Encode, EncodeError, Message, Uuid, Writer};

const DATA_VERSION: &str = "data_version";

/// Why a text is no quorum state.
#[derive(Debug, thiserror::Error)]
pub enum QuorumStateError {
    /// The text is no JSON.
    #[error("quorum-state is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is missing, or holds something else than it should.
    #[error("quorum-state: no valid {0}")]
    Field(&'static str),
    /// A newer version than is known here.
    #[error("quorum-state: unknown data_version {0}")]
    UnknownVersion(i64),
}

/// Reads the file's text; gives the state and the version it is written in.
pub fn from_json(text: &str) -> Result<(QuorumStateData<'static>, i16), QuorumStateError> {
    let object: Value = serde_json::from_str(text)?;
    let data_version = object[DATA_VERSION].as_i64().ok_or(QuorumStateError::Field(DATA_VERSION))?;
    let version = i16::try_from(data_version).ok().filter(|v| QuorumStateData::VERSIONS.contains(*v));
    let version = version.ok_or(QuorumStateError::UnknownVersion(data_version))?;
    let mut state = QuorumStateData {
        leader_id: number(&object, "leaderId")?,
        leader_epoch: number(&object, "leaderEpoch")?,
        voted_id: number(&object, "votedId")?,
        ..QuorumStateData::default()
    };
    if version == 0 {
        state.cluster_id = Cow::Owned(text_of(&object, "clusterId")?.to_owned());
        state.applied_offset = number(&object, "appliedOffset")?;
        state.current_voters = voters(&object)?;
    } else {
        state.voted_directory_id = id(&object, "votedDirectoryId")?;
    }
    Ok((state, version))
}

fn number<T: TryFrom<i64>>(object: &Value, name: &'static str) -> Result<T, QuorumStateError> {
    let number = object[name].as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or(QuorumStateError::Field(name))
}

fn text_of<'v>(object: &'v Value, name: &'static str) -> Result<&'v str, QuorumStateError> {
    object[name].as_str().ok_or(QuorumStateError::Field(name))
}

fn id(object: &Value, name: &'static str) -> Result<Uuid, QuorumStateError> {
    text_of(object, name)?.parse().map_err(|_| QuorumStateError::Field(name))
}

fn voters(object: &Value) -> Result<Option<Vec<Voter>>, QuorumStateError> {
    let voters = &object["currentVoters"];
    if voters.is_null() {
        return Ok(None);
    }
    let voters = voters.as_array().ok_or(QuorumStateError::Field("currentVoters"))?;
    voters
        .iter()
        .map(|voter| Ok(Voter { voter_id: number(voter, "voterId")? }))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The file's text in `version`.
///
/// # Errors
/// The version is unknown, or cannot carry what the state holds.
pub fn to_json(state: &QuorumStateData<'_>, version: i16) -> Result<String, EncodeError> {
    // The binary form knows what a version can carry.
    state.encode(&mut Writer::new(), version)?;
    let mut fields = Vec::new();
    let mut field = |name: &str, value: &dyn Display| fields.push(format!("\"{name}\":{value}"));
    if version == 0 {
        field("clusterId", &json!(state.cluster_id));
    }
    field("leaderId", &state.leader_id);
    field("leaderEpoch", &state.leader_epoch);
    field("votedId", &state.voted_id);
    if version == 0 {
        field("appliedOffset", &state.applied_offset);
        let ids = state.current_voters.iter().flatten().map(|voter| json!({ "voterId": voter.voter_id }));
        let voters = state.current_voters.as_ref().map(|_| ids.collect::<Vec<_>>());
        field("currentVoters", &json!(voters));
    } else {
        field("votedDirectoryId", &json!(state.voted_directory_id.to_string()));
    }
    field(DATA_VERSION, &version);
    Ok(format!("{{{}}}", fields.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_files_come_back_byte_for_byte() {
        let cases = [
            (include_str!("../golden/files/__cluster_metadata-0/quorum-state"), 1),
            (include_str!("../golden/files/static-quorum-3.3/quorum-state"), 0),
        ];
        for (text, version) in cases {
            let (state, read) = from_json(text).expect("a quorum state");
            assert_eq!((read, state.leader_id), (version, 1));
            assert_eq!(to_json(&state, version).expect("the version carries it"), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("{", "quorum-state is no JSON: EOF while parsing an object at line 1 column 1"),
            ("{}", "quorum-state: no valid data_version"),
            (r#"{"data_version":2}"#, "quorum-state: unknown data_version 2"),
            (r#"{"data_version":1,"leaderId":9999999999}"#, "quorum-state: no valid leaderId"),
        ];
        for (text, expected) in cases {
            assert_eq!(from_json(text).expect_err(text).to_string(), expected);
        }
    }

    #[test]
    fn version_0_has_no_directory_to_vote_for() {
        let state = QuorumStateData { voted_directory_id: Uuid::from_u128(1), ..QuorumStateData::default() };
        let error = EncodeError::UnsupportedVersion {
            message: "QuorumStateData",
            field: "VotedDirectoryId",
            version: 0,
        };
        assert_eq!(to_json(&state, 0), Err(error));
    }
}
