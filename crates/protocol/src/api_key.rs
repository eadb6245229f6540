//! API keys: what a request's number means.

use std::fmt;

use crate::VersionRange;

include!(concat!(env!("OUT_DIR"), "/api_keys.rs"));

/// What the schema says of an API.
struct Facts {
    name: &'static str,
    versions: VersionRange,
    flexible_from: i16,
    on_broker: bool,
    on_controller: bool,
    latest_unstable: bool,
}

impl ApiKey {
    /// All of them, by rising number.
    pub const ALL: &'static [ApiKey] = &API_KEYS;

    /// The API with this number.
    pub fn from_i16(number: i16) -> Option<Self> {
        from_number(number)
    }

    /// The number on the wire.
    pub fn as_i16(self) -> i16 {
        self as i16
    }

    /// Kafka's name, as in `Fetch`.
    pub fn name(self) -> &'static str {
        facts(self).name
    }

    /// The versions that can be decoded and encoded.
    pub fn versions(self) -> VersionRange {
        facts(self).versions
    }

    /// The versions to tell clients of in ApiVersions. `unstable` adds the newest version where it is still
    /// under development (`unstable.api.versions.enable`). Produce is advertised from 0 although it is
    /// served from 3, because some clients take its lower end for the broker's age.
    pub fn advertised_versions(self, unstable: bool) -> VersionRange {
        let VersionRange { min, max } = self.versions();
        let hidden = i16::from(self.is_latest_version_unstable() && !unstable);
        VersionRange { min: if self == Self::Produce { 0 } else { min }, max: max - hidden }
    }

    /// Whether the newest version is still under development.
    pub fn is_latest_version_unstable(self) -> bool {
        facts(self).latest_unstable
    }

    /// Whether brokers serve it.
    pub fn is_on_broker(self) -> bool {
        facts(self).on_broker
    }

    /// Whether controllers serve it.
    pub fn is_on_controller(self) -> bool {
        facts(self).on_controller
    }

    /// Whether a version has compact lengths and tagged fields (KIP-482).
    pub fn is_flexible(self, version: i16) -> bool {
        version >= facts(self).flexible_from
    }

    /// The version of the header in front of a request.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header in front of a response. That of ApiVersions never changes: a client must
    /// be able to read the answer before it knows what the broker speaks.
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self != Self::ApiVersions)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lists_kafkas_apis() {
        let on = |test: fn(ApiKey) -> bool| ApiKey::ALL.iter().filter(|key| test(**key)).count();
        assert_eq!(ApiKey::ALL.len(), 91);
        assert_eq!(on(ApiKey::is_on_broker), 79);
        assert_eq!(on(ApiKey::is_on_controller), 42);
        for number in -1..100 {
            let known = ApiKey::from_i16(number).map(ApiKey::as_i16);
            assert_eq!(known, (0..=94).contains(&number).then_some(number).filter(|n| !(4..=7).contains(n)));
        }
    }

    #[test]
    fn advertised_versions_differ_where_clients_need_it() {
        let cases = [
            (ApiKey::Produce, false, 0, 13),
            (ApiKey::Fetch, false, 4, 18),
            (ApiKey::InitProducerId, false, 0, 5),
            (ApiKey::InitProducerId, true, 0, 6),
        ];
        for (key, unstable, min, max) in cases {
            assert_eq!(key.advertised_versions(unstable), VersionRange { min, max }, "{key}");
        }
    }
}
