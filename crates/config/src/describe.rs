//! What DescribeConfigs answers: values, where they come from, and all the other values they hide.

use crate::layers::{Layers, Source, Values};
use crate::names;
use crate::setting::{Kind, Scope, Setting, Shown};
use crate::table;
use crate::topic_config;
use crate::value::Value;

/// One setting of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value; `None` for null, and where it must not be shown.
    pub value: Option<String>,
    /// Whether it can only change in the file.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: Source,
    /// Whether the value must not be shown.
    pub sensitive: bool,
    /// All values set for it, the most specific first, the default last.
    pub synonyms: Vec<Synonym>,
    /// Its type; `None` if the table does not know the name.
    pub kind: Option<Kind>,
    /// What it does; empty if the table does not know the name.
    pub documentation: &'static str,
}

impl Entry {
    /// The number of its type in DescribeConfigs answers, 0 if it is not known.
    pub fn type_code(&self) -> i8 {
        self.kind.map_or(0, Kind::code)
    }
}

/// A value that is set for a setting, perhaps under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The name it is set under.
    pub name: String,
    /// The value as it was set; `None` where it must not be shown.
    pub value: Option<String>,
    /// Where it is set.
    pub source: Source,
}

/// A broker's settings, in the table's order, then those that the table does not know.
pub fn broker(layers: &Layers) -> Vec<Entry> {
    let known = table::all(Scope::Broker).map(|setting| setting.name);
    let known = known.filter(|name| is_always_shown(Scope::Broker, name) || layers.text(name).is_some());
    let layered = [layers.broker(), layers.cluster(), layers.file()];
    let mut others: Vec<_> = layered.iter().flat_map(|values| values.keys()).map(String::as_str).collect();
    others.retain(|name| table::find(Scope::Broker, name).is_none());
    others.sort_unstable();
    others.dedup();
    known.chain(others).map(|name| broker_entry(layers, name, layers.text(name), |_| true)).collect()
}

/// What is set at run time for all brokers.
pub fn cluster_default(layers: &Layers) -> Vec<Entry> {
    let is_cluster = |source| source == Source::ClusterDefault;
    layers.cluster().iter().map(|(name, text)| broker_entry(layers, name, Some(text), is_cluster)).collect()
}

/// A topic's settings, with what the topic sets itself.
pub fn topic(layers: &Layers, overrides: &Values) -> Vec<Entry> {
    let entries = shown(Scope::Topic, overrides).map(|setting| {
        let inherited = || topic_config::inherited(layers, setting);
        let value = own_value(setting, overrides).unwrap_or_else(inherited);
        let below = setting.broker_name.map(|name| synonyms(layers, name, false)).unwrap_or_default();
        resource_entry(setting, value.to_text(), Source::Topic, overrides, below)
    });
    entries.collect()
}

/// A group's settings, with what is set for the group itself.
pub fn group(layers: &Layers, overrides: &Values) -> Vec<Entry> {
    let entries = shown(Scope::Group, overrides).map(|setting| {
        let inherited = || first_if_single(setting, topic_config::inherited(layers, setting));
        let value = own_value(setting, overrides).unwrap_or_else(inherited);
        let below = match setting.broker_name {
            Some(name) => synonyms(layers, name, false),
            None => default_synonym(setting),
        };
        resource_entry(setting, value.to_text(), Source::Group, overrides, below)
    });
    entries.collect()
}

/// The settings of a client metrics subscription.
pub fn client_metrics(overrides: &Values) -> Vec<Entry> {
    let entries = shown(Scope::ClientMetrics, overrides).map(|setting| {
        let value = own_value(setting, overrides).unwrap_or_else(|| setting.default_value());
        resource_entry(setting, value.to_text(), Source::ClientMetrics, overrides, Vec::new())
    });
    entries.collect()
}

fn is_always_shown(scope: Scope, name: &str) -> bool {
    table::find(scope, name).is_some_and(|setting| setting.shown == Shown::Always)
}

fn shown<'a>(scope: Scope, overrides: &'a Values) -> impl Iterator<Item = &'static Setting> + 'a {
    table::all(scope).filter(|setting| setting.shown == Shown::Always || overrides.contains_key(setting.name))
}

fn own_value(setting: &Setting, overrides: &Values) -> Option<Value> {
    setting.parse(overrides.get(setting.name)?).ok()
}

/// A group's setting that takes one of what the broker lists takes the first.
fn first_if_single(setting: &Setting, value: Value) -> Value {
    match value {
        Value::List(list) if setting.kind != Kind::List => {
            list.into_iter().next().map_or(Value::Null, Value::Text)
        }
        other => other,
    }
}

fn broker_entry(layers: &Layers, name: &str, text: Option<&str>, wanted: impl Fn(Source) -> bool) -> Entry {
    let setting = names::setting_of(name);
    let sensitive = setting.is_none_or(Setting::is_sensitive);
    let mut synonyms = synonyms(layers, name, sensitive);
    synonyms.retain(|synonym| wanted(synonym.source));
    let value = setting.filter(|_| !sensitive).and_then(|setting| match text {
        Some(text) => setting.parse(text).ok()?.to_text(),
        None => setting.default_value().to_text(),
    });
    Entry {
        name: name.to_owned(),
        value,
        read_only: !table::find(Scope::Broker, name).is_some_and(Setting::is_dynamic),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        sensitive,
        synonyms,
        kind: setting.map(|setting| setting.kind),
        documentation: setting.map_or("", |setting| setting.doc),
    }
}

fn resource_entry(
    setting: &'static Setting,
    value: Option<String>,
    source: Source,
    overrides: &Values,
    below: Vec<Synonym>,
) -> Entry {
    let own = overrides.contains_key(setting.name).then(|| Synonym {
        name: setting.name.to_owned(),
        value: value.clone(),
        source,
    });
    let synonyms: Vec<_> = own.into_iter().chain(below).collect();
    Entry {
        name: setting.name.to_owned(),
        value,
        read_only: false,
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        sensitive: setting.is_sensitive(),
        synonyms,
        kind: Some(setting.kind),
        documentation: setting.doc,
    }
}

fn default_synonym(setting: &Setting) -> Vec<Synonym> {
    let synonym = |text: &str| Synonym {
        name: setting.name.to_owned(),
        value: Some(text.to_owned()),
        source: Source::Default,
    };
    setting.default_text().map(synonym).into_iter().collect()
}

/// All that is set for a broker's setting and for those it falls back to, layer by layer. As in Kafka, what stands
/// before the first value of the setting itself is left out: with the fallback alone set, the list is empty.
fn synonyms(layers: &Layers, name: &str, sensitive: bool) -> Vec<Synonym> {
    let mut all: Vec<_> = Vec::new();
    for name in chain(name) {
        let texts = layers.all_texts(name).into_iter();
        all.extend(texts.map(|(source, text)| Synonym {
            name: name.to_owned(),
            value: (!sensitive).then(|| text.to_owned()),
            source,
        }));
    }
    all.sort_by_key(|synonym| synonym.source.code());
    all.into_iter().skip_while(|synonym| synonym.name != name).collect()
}

/// The setting's name, then those whose values count when it has none.
fn chain(name: &str) -> Vec<&str> {
    let mut chain = vec![name];
    let mut setting = names::setting_of(name);
    if let Some(base) = setting.filter(|setting| setting.name != name) {
        chain.push(base.name);
    }
    while let Some((next, _)) = setting.and_then(|setting| setting.fallback) {
        chain.push(next);
        setting = table::find(Scope::Broker, next);
    }
    chain
}
