//! ApiVersions v0–5: what this listener serves, and the cluster's features. The first request of most connections.
//!
//! The answer to an unknown version is version 0 with one entry, this API's own range, so that any client can go on from there.
//! From v5 on a client may say which cluster and node it means to talk to (KIP-1242).

use klamm_metadata::features;
use klamm_protocol::messages::api_versions_request::ApiVersionsRequest;
use klamm_protocol::messages::api_versions_response::{
    ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use klamm_protocol::{ApiKey, ErrorCode, Reader};

use crate::broker::Broker;
use crate::dispatch;
use crate::request::{HandlerResult, RequestContext};

/// Before this version clients cannot read a feature whose lowest level is 0.
const ZERO_MIN_FEATURES_SINCE: i16 = 4;

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ApiVersionsRequest<'_> = context.decode(&mut body)?;
    match check(context.broker, context.version, &request) {
        Ok(()) => context.respond(&answer(context)),
        Err(error_code) => context.respond(&ApiVersionsResponse { error_code, ..Default::default() }),
    }
}

/// The answer to a version that is not served.
pub(crate) fn handle_unknown_version(context: &RequestContext<'_>) -> HandlerResult {
    let own =
        dispatch::advertised(context.peer.role).find(|served| served.api_key == ApiKey::ApiVersions.as_i16());
    context.respond(&ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: own.into_iter().collect(),
        ..ApiVersionsResponse::default()
    })
}

fn check(broker: &Broker, version: i16, request: &ApiVersionsRequest<'_>) -> Result<(), ErrorCode> {
    let named = version >= 3;
    let software = [&request.client_software_name, &request.client_software_version];
    if named && !software.into_iter().all(|text| is_software_text(text)) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    match (&request.cluster_id, request.node_id) {
        (None, -1) => Ok(()),
        (None, _) | (Some(_), -1) => Err(ErrorCode::INVALID_REQUEST),
        (Some(cluster_id), node_id) if cluster_id == broker.cluster_id() && node_id == broker.node_id() => {
            Ok(())
        }
        (Some(_), _) => Err(ErrorCode::REBOOTSTRAP_REQUIRED),
    }
}

/// Letters, digits, dashes and dots, with a letter or digit at both ends (KIP-511).
fn is_software_text(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn answer(context: &RequestContext<'_>) -> ApiVersionsResponse<'static> {
    let image = context.broker.image();
    // The quorum's own feature is in no metadata record; like Kafka, level 0 is not worth a word.
    let kraft_version = Some(context.broker.controller().kraft_version()).filter(|level| *level > 0);
    let levels =
        image.features.iter().chain(kraft_version.map(|level| (features::KRAFT_VERSION.name, level)));
    let finalized = levels.map(|(name, level)| FinalizedFeatureKey {
        name: name.to_owned().into(),
        max_version_level: level,
        min_version_level: level,
    });
    ApiVersionsResponse {
        api_keys: dispatch::advertised(context.peer.role).collect(),
        supported_features: supported_features(context.version),
        finalized_features_epoch: image.provenance.last_offset,
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }
}

fn supported_features(version: i16) -> Vec<SupportedFeatureKey<'static>> {
    let supported = features::supported_features().into_iter();
    let readable = supported.filter(|(_, range)| range.min > 0 || version >= ZERO_MIN_FEATURES_SINCE);
    readable
        .map(|(name, range)| SupportedFeatureKey {
            name: name.into(),
            min_version: range.min,
            max_version: range.max,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_checked() {
        for good in ["a", "librdkafka", "apache-kafka-java", "1.2.3-rc1", "9"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a_b", "ä", "."] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }
}
