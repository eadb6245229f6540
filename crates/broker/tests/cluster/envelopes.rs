//! Envelopes and registrations as a broker of another make might send them.

use klamm_protocol::messages::create_topics_request::CreatableTopic;
use klamm_protocol::messages::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest, CreateTopicsResponse,
    DefaultPrincipalData, EnvelopeRequest, FetchRequest,
};
use klamm_protocol::{ApiKey, Decode, Encode, ErrorCode, Reader, Request, Writer, header};

use crate::cluster::{Cluster, Role};

const ALONE: &[Role] = &[Role::Both];

/// A request as it stands in an envelope: header and body.
fn inner<R: Request>(request: &R, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    header::encode_request(&mut writer, R::KEY, version, 77, Some("client")).unwrap();
    request.encode(&mut writer, version).unwrap();
    writer.into_bytes()
}

fn principal() -> Vec<u8> {
    let principal =
        DefaultPrincipalData { r#type: "User".into(), name: "ANONYMOUS".into(), ..Default::default() };
    let mut writer = Writer::new();
    writer.i16(0);
    principal.encode(&mut writer, 0).unwrap();
    writer.into_bytes()
}

fn envelope(request_data: Vec<u8>) -> EnvelopeRequest<'static> {
    EnvelopeRequest {
        request_data: request_data.into(),
        request_principal: Some(principal().into()),
        client_host_address: vec![10, 0, 0, 1].into(),
    }
}

fn new_topic() -> CreateTopicsRequest<'static> {
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() }
}

#[test]
fn what_is_in_an_envelope_is_carried_out_and_answered_in_one() {
    let cluster = Cluster::started(ALONE);
    let answer = cluster.ask_controller(1, &envelope(inner(&new_topic(), 7)), 0);
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let data = answer.response_data.unwrap();
    let mut reader = Reader::new(&data);
    assert_eq!(header::decode_response(&mut reader, ApiKey::CreateTopics, 7).unwrap(), 77);
    let created = CreateTopicsResponse::decode(&mut reader, 7).unwrap();
    assert_eq!((&*created.topics[0].name, created.topics[0].error_code), ("t", ErrorCode::NONE));
    assert_eq!(cluster.metadata(1).topics.len(), 1);
}

#[test]
fn envelopes_that_cannot_be_opened_are_told_apart() {
    let cluster = Cluster::started(ALONE);
    let whole = envelope(inner(&new_topic(), 7));
    let unknown_version = {
        let mut request = inner(&new_topic(), 7);
        request[3] = 99;
        request
    };
    let cases = [
        (
            EnvelopeRequest { client_host_address: vec![1, 2, 3].into(), ..whole.clone() },
            ErrorCode::INVALID_REQUEST,
        ),
        (
            EnvelopeRequest { request_principal: None, ..whole.clone() },
            ErrorCode::PRINCIPAL_DESERIALIZATION_FAILURE,
        ),
        (envelope(vec![0, 19, 0]), ErrorCode::UNSUPPORTED_VERSION),
        (envelope(unknown_version), ErrorCode::UNSUPPORTED_VERSION),
        (envelope(inner(&FetchRequest::default(), 17)), ErrorCode::INVALID_REQUEST),
        (envelope(inner(&whole, 0)), ErrorCode::INVALID_REQUEST),
    ];
    for (envelope, expected) in cases {
        let answer = cluster.ask_controller(1, &envelope, 0);
        assert_eq!((answer.error_code, answer.response_data), (expected, None));
    }
    assert_eq!(cluster.metadata(1).topics.len(), 0);
}

#[test]
fn a_standby_controller_opens_no_envelope() {
    let cluster = Cluster::started(&[Role::Both, Role::Both, Role::Both]);
    let active = cluster.active_controller(1);
    for id in (1..=3).filter(|id| *id != active) {
        let answer = cluster.ask_controller(id, &envelope(inner(&new_topic(), 7)), 0);
        assert_eq!((answer.error_code, answer.response_data), (ErrorCode::NOT_CONTROLLER, None));
    }
}

#[test]
fn brokers_of_other_clusters_and_unknown_ones_are_refused() {
    let cluster = Cluster::started(ALONE);
    let stranger = BrokerRegistrationRequest {
        broker_id: 7,
        cluster_id: "another".into(),
        ..BrokerRegistrationRequest::default()
    };
    let refused = cluster.ask_controller(1, &stranger, 4);
    assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_CLUSTER_ID);
    let heartbeat = |broker_id, broker_epoch| {
        let request = BrokerHeartbeatRequest { broker_id, broker_epoch, ..Default::default() };
        cluster.ask_controller(1, &request, 1).error_code
    };
    assert_eq!(heartbeat(7, 1), ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(heartbeat(1, 999), ErrorCode::STALE_BROKER_EPOCH);
}
