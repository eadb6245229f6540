//! Which version of each request to use with a broker: what it says it supports, cut with what we know.
//!
//! The first request on a connection is ApiVersions in our newest version. A broker that does not know it says so
//! in version 0 and names the versions it has; then it is asked again (KIP-511).

use std::collections::BTreeMap;

use klamm_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use klamm_protocol::{ApiKey, ErrorCode, IntoStatic, VersionRange};

use super::Connection;
use crate::error::{ConnectError, RequestError};

/// Version levels of the cluster's features.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// The ranges this broker supports.
    pub(crate) supported: BTreeMap<String, VersionRange>,
    /// The levels the cluster has settled on.
    pub(crate) finalized: BTreeMap<String, i16>,
    /// Rises with every change of the finalized levels; −1 where unknown.
    pub(crate) finalized_epoch: i64,
}

/// What a broker supports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    ranges: BTreeMap<ApiKey, VersionRange>,
    features: Features,
}

impl Versions {
    /// Before anything is known there is one request to send.
    pub(super) fn only_negotiation() -> Self {
        let ranges = [(ApiKey::ApiVersions, ApiKey::ApiVersions.versions())];
        Self { ranges: ranges.into(), features: Features::default() }
    }

    /// Builds from a broker's answer. Keys unknown here are of no use and left out.
    pub(crate) fn from_response(response: &ApiVersionsResponse<'_>) -> Self {
        let ranges = response.api_keys.iter().filter_map(|api| {
            let key = ApiKey::from_i16(api.api_key)?;
            let theirs = VersionRange { min: api.min_version, max: api.max_version };
            let ours = VersionRange { max: key.advertised_versions(false).max, ..key.versions() };
            Some((key, ours.intersection(theirs)?))
        });
        Self { ranges: ranges.collect(), features: features(response) }
    }

    /// The newest common version of a request.
    pub(crate) fn best(&self, api: ApiKey) -> Option<i16> {
        self.ranges.get(&api).map(|range| range.max)
    }

    /// The cluster's features.
    pub(crate) fn features(&self) -> &Features {
        &self.features
    }
}

fn features(response: &ApiVersionsResponse<'_>) -> Features {
    let supported = response.supported_features.iter();
    let finalized = response.finalized_features.iter();
    Features {
        supported: supported
            .map(|f| (f.name.to_string(), VersionRange { min: f.min_version, max: f.max_version }))
            .collect(),
        finalized: finalized.map(|f| (f.name.to_string(), f.max_version_level)).collect(),
        finalized_epoch: response.finalized_features_epoch,
    }
}

pub(super) async fn negotiate(connection: &Connection) -> Result<Versions, ConnectError> {
    let newest = ApiKey::ApiVersions.versions().max;
    let mut response = ask(connection, newest).await?;
    if response.error_code == ErrorCode::UNSUPPORTED_VERSION {
        let named = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.as_i16());
        let version = named.map_or(0, |api| api.max_version.clamp(0, newest));
        response = ask(connection, version).await?;
    }
    if response.error_code.is_error() {
        return Err(refused(connection, response.error_code.to_string()));
    }
    Ok(Versions::from_response(&response))
}

/// One ApiVersions exchange. The answer to a version the broker does not know comes in version 0.
async fn ask(connection: &Connection, version: i16) -> Result<ApiVersionsResponse<'static>, ConnectError> {
    let request = ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    };
    let pending = connection.enqueue(&request, version, connection.timeout()).await;
    let response = match pending {
        Ok(pending) => pending.response().await,
        Err(error) => Err(error),
    };
    let bytes = response.map_err(|error| failed(connection, error))?.into_bytes();
    let decoded = super::decode::<ApiVersionsRequest<'_>>(&bytes, version)
        .or_else(|error| super::decode::<ApiVersionsRequest<'_>>(&bytes, 0).map_err(|_| error));
    decoded.map(IntoStatic::into_static).map_err(|error| refused(connection, error.to_string()))
}

fn failed(connection: &Connection, error: RequestError) -> ConnectError {
    match error {
        RequestError::Connect(error) => error,
        RequestError::TimedOut { broker, after_ms, .. } => ConnectError::TimedOut { broker, after_ms },
        RequestError::Disconnected { .. } => ConnectError::Closed { broker: connection.broker().clone() },
        error => refused(connection, error.to_string()),
    }
}

fn refused(connection: &Connection, reason: String) -> ConnectError {
    ConnectError::Negotiation { broker: connection.broker().clone(), reason }
}

#[cfg(test)]
mod tests {
    use klamm_protocol::messages::api_versions_response::ApiVersion;

    use super::*;

    fn api(key: ApiKey, min_version: i16, max_version: i16) -> ApiVersion {
        ApiVersion { api_key: key.as_i16(), min_version, max_version }
    }

    #[test]
    fn the_best_version_is_the_newest_common_one() {
        let response = ApiVersionsResponse {
            api_keys: vec![
                api(ApiKey::Metadata, 0, 9),
                api(ApiKey::Fetch, 0, 99),
                api(ApiKey::Produce, 90, 99),
                ApiVersion { api_key: 9999, min_version: 0, max_version: 1 },
                api(ApiKey::InitProducerId, 0, 6),
            ],
            ..ApiVersionsResponse::default()
        };
        let versions = Versions::from_response(&response);
        assert_eq!(versions.best(ApiKey::Metadata), Some(9));
        assert_eq!(versions.best(ApiKey::Fetch), Some(ApiKey::Fetch.versions().max));
        assert_eq!(versions.best(ApiKey::Produce), None, "nothing in common");
        assert_eq!(versions.best(ApiKey::ListOffsets), None, "not offered");
        assert_eq!(versions.best(ApiKey::InitProducerId), Some(5), "an unstable version is not used");
    }
}
