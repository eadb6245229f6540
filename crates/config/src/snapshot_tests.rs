//! Table and fields hold together.

use std::collections::BTreeSet;

use crate::broker_config::BrokerConfig;
use crate::layers::Layers;
use crate::node_config;
use crate::setting::{Scope, Status};
use crate::table;
use crate::topic_config::TopicConfig;

/// Broker settings that have a field, those that a field falls back to, and those that topics inherit.
fn read_by_brokers() -> BTreeSet<&'static str> {
    let topics =
        TopicConfig::NAMES.iter().filter(|name| table::known(Scope::Topic, name).status == Status::Done);
    let inherited = topics.filter_map(|name| table::known(Scope::Topic, name).broker_name);
    let mut names: BTreeSet<_> =
        BrokerConfig::NAMES.iter().chain(node_config::NODE_NAMES).copied().chain(inherited).collect();
    for name in names.clone() {
        let mut setting = table::known(Scope::Broker, name);
        while let Some((next, _)) = setting.fallback {
            names.insert(next);
            setting = table::known(Scope::Broker, next);
        }
    }
    names
}

#[test]
fn a_broker_setting_is_done_when_code_can_read_it() {
    let done = table::all(Scope::Broker).filter(|setting| setting.status == Status::Done);
    assert_eq!(done.map(|setting| setting.name).collect::<BTreeSet<_>>(), read_by_brokers());
}

#[test]
fn a_topic_setting_that_is_done_has_a_field() {
    for setting in table::all(Scope::Topic).filter(|setting| setting.status == Status::Done) {
        assert!(TopicConfig::NAMES.contains(&setting.name), "{}", setting.name);
    }
}

#[test]
fn defaults_fit_their_fields() {
    let layers = Layers::default();
    assert_eq!(BrokerConfig::new(&layers).unwrap().num_partitions, 1);
    assert_eq!(TopicConfig::defaults(&layers).segment_ms, 604_800_000);
}
