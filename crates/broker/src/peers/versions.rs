//! Which version of each request to use with a node: the newest that both know.
//!
//! The first request is ApiVersions in our newest version. A node that does not know it says so in version 0 and names the versions it
//! has; then it is asked again (KIP-511).

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use klamm_protocol::{ApiKey, ErrorCode, VersionRange};

use super::connection::PeerConnection;
use super::error::{PeerError, Unreadable};

/// The newest common version of each request.
#[derive(Debug, Default)]
pub(super) struct Versions(BTreeMap<ApiKey, i16>);

impl Versions {
    /// Before anything is known there is one request to send.
    pub(super) fn only_negotiation() -> Self {
        Self([(ApiKey::ApiVersions, ApiKey::ApiVersions.versions().max)].into())
    }

    pub(super) fn newest(&self, api: ApiKey) -> Option<i16> {
        self.0.get(&api).copied()
    }

    fn common(response: &ApiVersionsResponse<'_>) -> Self {
        let common = response.api_keys.iter().filter_map(|api| {
            let key = ApiKey::from_i16(api.api_key)?;
            let theirs = VersionRange { min: api.min_version, max: api.max_version };
            let ours = VersionRange { max: key.advertised_versions(false).max, ..key.versions() };
            Some((key, ours.intersection(theirs)?.max))
        });
        Self(common.collect())
    }
}

/// Asks a node for its versions.
pub(super) async fn negotiate(
    connection: &mut PeerConnection,
    timeout: Duration,
) -> Result<Versions, PeerError> {
    let request = ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    };
    let newest = ApiKey::ApiVersions.versions().max;
    let mut response = connection.call_version(&request, newest, timeout).await?;
    if response.error_code == ErrorCode::UNSUPPORTED_VERSION {
        let named = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.as_i16());
        let version = named.map_or(0, |api| api.max_version.clamp(0, newest));
        response = connection.call_version(&request, version, timeout).await?;
    }
    match response.error_code.check() {
        Ok(()) => Ok(Versions::common(&response)),
        Err(code) => Err(connection.unreadable(ApiKey::ApiVersions, Unreadable::Refusal(code))),
    }
}
