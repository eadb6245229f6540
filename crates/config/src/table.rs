//! The one table of settings: everything else in this crate derives from it.
//!
//! Each row names type, setting, default, what is valid, when it may change, whether Klamm acts on it, and what it
//! does. To add a setting, add a row; a setting that Klamm acts on also gets a field in `BrokerConfig`, `TopicConfig`
//! or `NodeConfig`, and a test holds table and fields together.

mod group;
mod groups;
mod identity;
mod klamm;
mod log;
mod metrics;
mod network;
mod replication;
mod security;
mod share_groups;
mod streams_groups;
mod tiered;
mod topic;
mod transactions;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::setting::{Scope, Setting};

/// Settings that belong together, under the title they have in the documentation.
pub struct Section {
    /// The title.
    pub title: &'static str,
    /// What the settings are settings of.
    pub scope: Scope,
    /// The settings, in the order they are documented in.
    pub settings: &'static [Setting],
}

/// All settings, in the order they are documented in.
pub static SECTIONS: &[Section] = &[
    broker("Klamm's own", klamm::KLAMM),
    broker("Identity, controller quorum and metadata log", identity::QUORUM),
    broker("Network and threads", network::NETWORK),
    broker("Topics", log::TOPICS),
    broker("Log", log::LOG),
    broker("Retention", log::RETENTION),
    broker("Compaction", log::CLEANER),
    broker("Replication and elections", replication::REPLICATION),
    broker("Offsets and classic groups", groups::CLASSIC_GROUPS),
    broker("Consumer groups (KIP-848)", groups::CONSUMER_GROUPS),
    broker("Share groups", share_groups::SHARE_GROUPS),
    broker("Streams groups", streams_groups::STREAMS_GROUPS),
    broker("Idempotent producers and transactions", transactions::TRANSACTIONS),
    broker("Quotas", transactions::QUOTAS),
    broker("Security", security::SECURITY),
    broker("Tiered storage", tiered::TIERED),
    broker("Metrics and telemetry", metrics::METRICS),
    broker("Other", metrics::OTHER),
    Section { title: "Topics", scope: Scope::Topic, settings: topic::TOPIC },
    Section { title: "Groups", scope: Scope::Group, settings: group::GROUP },
    Section { title: "Client metrics", scope: Scope::ClientMetrics, settings: group::CLIENT_METRICS },
];

const fn broker(title: &'static str, settings: &'static [Setting]) -> Section {
    Section { title, scope: Scope::Broker, settings }
}

/// The settings of `scope`, in the order they are documented in.
pub fn all(scope: Scope) -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().filter(move |section| section.scope == scope).flat_map(|section| section.settings)
}

/// The setting of that name.
pub fn find(scope: Scope, name: &str) -> Option<&'static Setting> {
    static BY_NAME: LazyLock<HashMap<(Scope, &'static str), &'static Setting>> = LazyLock::new(|| {
        SECTIONS
            .iter()
            .flat_map(|section| section.settings.iter().map(|s| ((section.scope, s.name), s)))
            .collect()
    });
    BY_NAME.get(&(scope, name)).copied()
}

/// A setting that this crate itself names, and whose name a test has therefore looked up.
pub(crate) fn known(scope: Scope, name: &str) -> &'static Setting {
    find(scope, name).expect("the crate names only settings of its own table")
}

/// The setting of `scope` whose name is most like `name`, if one is near enough to be what was meant. Names come from outside, so
/// those of another length, whatever it is, cost nothing.
pub fn nearest(scope: Scope, name: &str) -> Option<&'static str> {
    let length = name.chars().count();
    let far = 2.max(length / 5);
    let is_as_long = |setting: &&'static Setting| setting.name.len().abs_diff(length) <= far;
    let near = |setting: &&'static Setting| (edit_distance(name, setting.name), setting.name);
    all(scope)
        .filter(is_as_long)
        .map(|s| near(&s))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// How many characters must be inserted, removed or replaced to make `b` of `a`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_within_a_fifth_of_the_name() {
        let cases = [
            ("num.partition", Some("num.partitions")),
            ("log.retenton.hour", Some("log.retention.hours")),
            ("advertised.listener", Some("advertised.listeners")),
            ("log.retention.minute", Some("log.retention.minutes")),
            ("entirely.different", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(Scope::Broker, name), expected, "{name}");
        }
        assert_eq!(nearest(Scope::Topic, "retention.hs"), Some("retention.ms"));
    }

    /// Comparing a name of a mebibyte with every setting would take a minute.
    #[test]
    fn a_long_name_is_like_none() {
        assert_eq!(nearest(Scope::Broker, &"log.retention.hours".repeat(60_000)), None);
        assert_eq!(nearest(Scope::Broker, "lög.retention.hours"), Some("log.retention.hours"));
    }

    #[test]
    fn edit_distance_counts_single_characters() {
        let cases = [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)];
        for (a, b, expected) in cases {
            assert_eq!(edit_distance(a, b), expected, "{a} to {b}");
        }
    }
}
