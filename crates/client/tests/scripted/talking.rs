//! Connections: negotiation, errors by name, answers in the wrong order.

use crate::fake_broker::{FakeCluster, Reply, TOPIC, api_versions};
use klamm_client::{Admin, AdminConfig, AdminError, ConnectError, ErrorCode, RequestError};
use klamm_protocol::ApiKey;
use klamm_protocol::messages::{ApiVersionsResponse, DeleteTopicsResponse, delete_topics_response};

fn admin(servers: &str) -> Admin {
    let config = AdminConfig::from_properties([
        ("bootstrap.servers", servers),
        ("default.api.timeout.ms", "200"),
        ("request.timeout.ms", "100"),
        ("retry.backoff.ms", "1"),
        ("reconnect.backoff.ms", "1"),
    ]);
    Admin::new(config.expect("valid"))
}

#[tokio::test]
async fn an_older_broker_is_asked_again_in_its_own_version() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let is_too_new = request.key == ApiKey::ApiVersions && request.version > 3;
        is_too_new.then(|| {
            let mut response = api_versions(&[ApiKey::ApiVersions]);
            response.api_keys[0].max_version = 3;
            response.error_code = ErrorCode::UNSUPPORTED_VERSION;
            Reply::AnswerIn(0, Box::new(response))
        })
    })
    .await;
    let topics = admin(&cluster.bootstrap()).list_topics(false).await.expect("answered");
    assert_eq!(topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), [TOPIC]);
    let versions: Vec<i16> = cluster.received(ApiKey::ApiVersions).iter().map(|r| r.version).collect();
    assert_eq!(versions, [5, 3]);
}

#[tokio::test]
async fn an_api_the_broker_lacks_is_named() {
    let cluster = FakeCluster::start(1, 1, |request| {
        (request.key == ApiKey::ApiVersions)
            .then(|| Reply::answer(api_versions(&[ApiKey::ApiVersions, ApiKey::Metadata])))
    })
    .await;
    let error = admin(&cluster.bootstrap()).describe_quorum().await.expect_err("not served");
    let expected =
        format!("{} does not support DescribeQuorum in a version this client speaks", cluster.bootstrap());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn refusals_stand_beside_what_they_are_about() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let result = |name: &'static str, error_code| delete_topics_response::DeletableTopicResult {
            name: Some(name.into()),
            error_code,
            ..Default::default()
        };
        (request.key == ApiKey::DeleteTopics).then(|| {
            Reply::answer(DeleteTopicsResponse {
                responses: vec![
                    result("a", ErrorCode::NONE),
                    result("b", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                ],
                ..Default::default()
            })
        })
    })
    .await;
    let outcomes = admin(&cluster.bootstrap()).delete_topics(["a", "b"]).await.expect("answered");
    let codes: Vec<_> = outcomes
        .iter()
        .map(|(name, outcome)| (name.as_str(), outcome.as_ref().map_err(|r| r.code)))
        .collect();
    assert_eq!(codes, [("a", Ok(&())), ("b", Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))]);
}

#[tokio::test]
async fn an_answer_to_another_request_ends_the_connection() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let confused = request.key == ApiKey::Metadata && request.connection == 0;
        confused.then(|| Reply::Confused(Box::new(klamm_protocol::messages::MetadataResponse::default())))
    })
    .await;
    let topics =
        admin(&cluster.bootstrap()).list_topics(false).await.expect("answered by the second connection");
    assert_eq!(topics.len(), 1);
    let connections: Vec<usize> = cluster.received(ApiKey::Metadata).iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1]);
}

#[tokio::test]
async fn a_silent_broker_is_not_waited_for_for_ever() {
    let cluster =
        FakeCluster::start(1, 1, |request| (request.key == ApiKey::Metadata).then_some(Reply::Silence)).await;
    let error = admin(&cluster.bootstrap()).list_topics(false).await.expect_err("silence");
    assert!(matches!(error, AdminError::Request(RequestError::TimedOut { after_ms: 100, .. })), "{error}");
}

#[tokio::test]
async fn what_does_not_speak_kafka_is_told_apart() {
    let cluster = FakeCluster::start(1, 1, |request| {
        let error_code = ErrorCode::INVALID_REQUEST;
        (request.key == ApiKey::ApiVersions)
            .then(|| Reply::answer(ApiVersionsResponse { error_code, ..Default::default() }))
    })
    .await;
    let error = admin(&cluster.bootstrap()).list_topics(false).await.expect_err("refused");
    let connect = ConnectError::Negotiation {
        broker: klamm_client::BrokerName {
            id: None,
            host: "127.0.0.1".into(),
            port: cluster
                .bootstrap()
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .expect("a port"),
        },
        reason: "INVALID_REQUEST".to_owned(),
    };
    assert_eq!(error.to_string(), connect.to_string());
}

/// As one does that is about to stop.
#[tokio::test]
async fn a_broker_that_closes_at_once_is_asked_again() {
    let cluster = FakeCluster::start(1, 1, |request| {
        (request.key == ApiKey::ApiVersions && request.connection < 2).then_some(Reply::Close)
    })
    .await;
    let topics = admin(&cluster.bootstrap()).list_topics(false).await.expect("answered");
    assert_eq!(topics.len(), 1);
}

#[tokio::test]
async fn a_broker_that_always_closes_is_named() {
    let cluster = FakeCluster::start(1, 1, |_| Some(Reply::Close)).await;
    let error = admin(&cluster.bootstrap()).list_topics(false).await.expect_err("closed");
    assert_eq!(error.to_string(), format!("{} closed the connection at once", cluster.bootstrap()));
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let error = admin(&address).list_topics(false).await.expect_err("closed").to_string();
    assert!(error.starts_with(&format!("cannot connect to {address}: ")), "{error}");
}

#[tokio::test]
async fn another_broker_is_tried_beside_one_that_hangs() {
    // The kernel takes connections in its name, and nobody answers.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let hanging = hangs.local_addr().expect("bound").to_string();
    let cluster = FakeCluster::start(1, 1, |_| None).await;
    let servers = format!("{hanging},{}", cluster.bootstrap());
    let config = AdminConfig::from_properties([
        ("bootstrap.servers", servers.as_str()),
        ("socket.connection.setup.timeout.ms", "600000"),
    ]);
    let topics = Admin::new(config.expect("valid")).list_topics(false).await.expect("the other answers");
    assert_eq!(topics.len(), 1);
}
