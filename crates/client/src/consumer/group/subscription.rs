//! What consumers tell each other through JoinGroup and SyncGroup: an int16 version, then the structure. A newer
//! version than we know is read as the newest we know; what it has more stands behind (KIP-54).

use klamm_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedTopic,
};
use klamm_protocol::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as OwnedTopic,
};
use klamm_protocol::{Decode, DecodeError, Encode, EncodeError, Message, Reader, Writer};

use super::assignor::{Assignor, Member};
use crate::TopicPartition;
use crate::topic_partition::by_topic;

/// The protocol type of consumers in JoinGroup.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// Writes what a member tells the leader about itself.
pub(crate) fn encode_subscription(
    assignor: Assignor,
    topics: &[String],
    owned: &[TopicPartition],
    generation: i32,
) -> Result<Vec<u8>, EncodeError> {
    let owned_partitions = by_topic(owned.iter().map(|p| (p, ()))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, ())| index).collect();
        OwnedTopic { topic: topic.to_string().into(), partitions }
    });
    let user_data = assignor.is_cooperative().then(|| generation.to_be_bytes().to_vec().into());
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
        user_data,
        owned_partitions: owned_partitions.collect(),
        generation_id: generation,
        rack_id: None,
    };
    encode(&subscription)
}

/// Reads what a member tells about itself. The member's id and instance stand elsewhere.
pub(crate) fn decode_subscription(bytes: &[u8]) -> Result<Member, DecodeError> {
    let subscription: ConsumerProtocolSubscription<'_> = decode(bytes)?;
    let owned = subscription.owned_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic, *partition))
    });
    Ok(Member {
        topics: subscription.topics.iter().map(ToString::to_string).collect(),
        owned: owned.collect(),
        generation: generation_of(&subscription),
        ..Member::default()
    })
}

/// Before version 2 the cooperative assignor had the generation in its own data.
fn generation_of(subscription: &ConsumerProtocolSubscription<'_>) -> i32 {
    let user_data = subscription.user_data.as_ref().and_then(|data| data.first_chunk::<4>());
    match (subscription.generation_id, user_data) {
        (-1, Some(generation)) => i32::from_be_bytes(*generation),
        (generation, _) => generation,
    }
}

/// Writes what the leader gives to a member.
pub(crate) fn encode_assignment(partitions: &[TopicPartition]) -> Result<Vec<u8>, EncodeError> {
    let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, ())| index).collect();
        AssignedTopic { topic: topic.to_string().into(), partitions }
    });
    encode(&ConsumerProtocolAssignment { assigned_partitions: topics.collect(), user_data: None })
}

/// Reads what the leader gave. No bytes are no partitions.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let assignment: ConsumerProtocolAssignment<'_> = decode(bytes)?;
    let partitions = assignment.assigned_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic, *partition))
    });
    Ok(partitions.collect())
}

fn encode<M: Message + Encode>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(M::VERSIONS.max);
    message.encode(&mut writer, M::VERSIONS.max)?;
    Ok(writer.into_bytes())
}

fn decode<'a, M: Message + Decode<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    M::decode(&mut reader, version.min(M::VERSIONS.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_back() {
        let owned = [TopicPartition::new("t", 1), TopicPartition::new("t", 2), TopicPartition::new("u", 0)];
        let topics = ["t".to_owned(), "u".to_owned()];
        let bytes = encode_subscription(Assignor::CooperativeSticky, &topics, &owned, 7).expect("encodes");
        let member = decode_subscription(&bytes).expect("decodes");
        assert_eq!((member.topics.as_slice(), member.owned.as_slice()), (&topics[..], &owned[..]));
        assert_eq!(member.generation, 7);
    }

    #[test]
    fn versions_from_elsewhere_are_read() {
        // Version 0: one topic, no user data.
        let old = [&[0, 0, 0, 0, 0, 1, 0, 1][..], b"t", &[0xff; 4]].concat();
        assert_eq!(
            decode_subscription(&old).map(|m| (m.topics, m.generation)),
            Ok((vec!["t".to_owned()], -1))
        );
        // Version 9 with something behind what we know.
        let mut newer = encode_assignment(&[TopicPartition::new("t", 3)]).expect("encodes");
        newer[1] = 9;
        newer.extend([1, 2, 3]);
        assert_eq!(decode_assignment(&newer), Ok(vec![TopicPartition::new("t", 3)]));
        assert_eq!(decode_assignment(&[]), Ok(Vec::new()));
        assert!(decode_assignment(&[0, 3, 0]).is_err());
    }
}
