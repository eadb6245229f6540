//! The layers a broker's value is looked up in: set for this broker, set for all brokers, in its file, the default.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::names;
use crate::setting::{Mode, Scope, Setting};
use crate::table;
use crate::value::{InvalidValue, Value};

/// Settings and their values as text: a file's, or those of one resource in the metadata log.
pub type Values = BTreeMap<String, String>;

/// Where a value comes from; the numbers are those of DescribeConfigs answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    Topic = 1,
    /// Set while brokers run, for this one.
    Broker = 2,
    /// Set while brokers run, for all of them.
    ClusterDefault = 3,
    /// In the file, or on the command line.
    File = 4,
    /// Nobody set it.
    Default = 5,
    /// Set on a broker's logger.
    Logger = 6,
    /// Set on the client metrics subscription.
    ClientMetrics = 7,
    /// Set on the group.
    Group = 8,
}

impl Source {
    /// The number in DescribeConfigs answers.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// All that is set for a broker. Every value of a setting in the table is valid: `new` and `with_dynamic` see to it.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    file: Arc<Values>,
    cluster: Values,
    broker: Values,
}

impl Layers {
    /// Layers with a file's values alone; fails on the first value that is not valid.
    pub fn new(file: Values) -> Result<Self, InvalidValue> {
        for (name, value) in &file {
            check(name, value)?;
        }
        Ok(Self { file: Arc::new(file), ..Self::default() })
    }

    /// The same file with other values set while brokers run, for all brokers and for this one. Values that are not
    /// valid, or may not change at run time, are left out and told, so that a bad record in the metadata log stops no
    /// broker.
    pub fn with_dynamic(&self, cluster: &Values, broker: &Values) -> (Self, Vec<InvalidValue>) {
        let mut ignored = Vec::new();
        let mut keep = |values: &Values, per_broker: bool| -> Values {
            let mut fits = |name: &str, value: &str| match check_dynamic(name, value, per_broker) {
                Ok(()) => true,
                Err(error) => {
                    ignored.push(error);
                    false
                }
            };
            values
                .iter()
                .filter(|(name, value)| fits(name, value))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect()
        };
        let (cluster, broker) = (keep(cluster, false), keep(broker, true));
        (Self { file: Arc::clone(&self.file), cluster, broker }, ignored)
    }

    /// What the file, or the command line, sets.
    pub fn file(&self) -> &Values {
        &self.file
    }

    /// What is set at run time for all brokers.
    pub fn cluster(&self) -> &Values {
        &self.cluster
    }

    /// What is set at run time for this broker.
    pub fn broker(&self) -> &Values {
        &self.broker
    }

    /// The text that is set for this name, the most specific one; `None` if only the default is left.
    pub fn text(&self, name: &str) -> Option<&str> {
        let layers = [&self.broker, &self.cluster, &*self.file];
        layers.into_iter().find_map(|values| values.get(name)).map(String::as_str)
    }

    /// The value of this setting alone.
    pub fn value(&self, setting: &Setting) -> Value {
        match self.text(setting.name) {
            Some(text) => setting.parse(text).expect("layers hold valid values only"),
            None => setting.default_value(),
        }
    }

    /// The value that counts: this setting's, or if that is null, the one it falls back to, in this setting's unit.
    pub fn effective(&self, setting: &Setting) -> Value {
        match (self.value(setting), setting.fallback) {
            (Value::Null, Some((name, factor))) => match self.effective(table::known(Scope::Broker, name)) {
                Value::Integer(count) if count < 0 => Value::Integer(-1),
                Value::Integer(count) => Value::Integer(count.saturating_mul(factor)),
                other => other,
            },
            (value, _) => value,
        }
    }

    /// Every text set for this name, the most specific first, and the default if it is not null.
    pub(crate) fn all_texts(&self, name: &str) -> Vec<(Source, &str)> {
        let layers = [
            (Source::Broker, &self.broker),
            (Source::ClusterDefault, &self.cluster),
            (Source::File, &*self.file),
        ];
        let set =
            layers.into_iter().filter_map(|(source, values)| Some((source, values.get(name)?.as_str())));
        let default = names::setting_of(name).filter(|setting| setting.name == name);
        let default = default.and_then(Setting::default_text).map(|text| (Source::Default, text));
        set.chain(default).collect()
    }
}

fn check(name: &str, value: &str) -> Result<(), InvalidValue> {
    names::setting_of(name).map_or(Ok(()), |setting| setting.parse(value).map(drop))
}

fn check_dynamic(name: &str, value: &str, per_broker: bool) -> Result<(), InvalidValue> {
    let refuse = |reason: &str| Err(InvalidValue::new(name, value, reason));
    match names::setting_of(name) {
        Some(setting) if setting.is_sensitive() => setting.parse(value).map(drop),
        Some(Setting { mode: Mode::ReadOnly, .. }) => refuse("it cannot change while the broker runs"),
        Some(Setting { mode: Mode::PerBroker, .. }) if !per_broker => {
            refuse("it can only be set for one broker")
        }
        _ => check(name, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(entries: &[(&str, &str)]) -> Values {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn effective(layers: &Layers, name: &str) -> Option<String> {
        layers.effective(table::known(Scope::Broker, name)).to_text()
    }

    #[test]
    fn the_most_specific_value_counts() {
        let file = Layers::new(values(&[("num.io.threads", "5")])).unwrap();
        let (cluster, _) = file.with_dynamic(&values(&[("num.io.threads", "6")]), &Values::new());
        let (broker, _) = cluster.with_dynamic(cluster.cluster(), &values(&[("num.io.threads", " 7 ")]));
        let seen =
            [&Layers::default(), &file, &cluster, &broker].map(|layers| effective(layers, "num.io.threads"));
        assert_eq!(seen, ["8", "5", "6", "7"].map(|text| Some(text.to_owned())));
    }

    #[test]
    fn a_null_value_falls_back_in_its_own_unit() {
        let cases = [
            ("", "log.retention.ms", "604800000"),
            ("log.retention.hours=1", "log.retention.ms", "3600000"),
            ("log.retention.hours=1 log.retention.minutes=2", "log.retention.ms", "120000"),
            ("log.retention.ms=3 log.retention.minutes=2", "log.retention.ms", "3"),
            ("log.retention.hours=-1", "log.retention.ms", "-1"),
            ("log.roll.hours=2147483647", "log.roll.ms", "7730941129200000"),
            ("log.flush.scheduler.interval.ms=9", "log.flush.interval.ms", "9"),
        ];
        for (file, name, expected) in cases {
            let file: Vec<_> = file.split_whitespace().filter_map(|entry| entry.split_once('=')).collect();
            let layers = Layers::new(values(&file)).unwrap();
            assert_eq!(effective(&layers, name).as_deref(), Some(expected), "{file:?}");
        }
    }

    #[test]
    fn what_may_not_change_at_run_time_is_ignored_and_told() {
        let set = values(&[("num.partitions", "5"), ("listeners", "A://:1"), ("num.io.threads", "x")]);
        let (layers, ignored) = Layers::default().with_dynamic(&set, &Values::new());
        assert!(layers.cluster().is_empty());
        let ignored: Vec<_> = ignored.iter().map(ToString::to_string).collect();
        assert_eq!(
            ignored,
            [
                "Invalid value A://:1 for configuration listeners: it can only be set for one broker",
                "Invalid value x for configuration num.io.threads: must be a whole number from -2147483648 to 2147483647",
                "Invalid value 5 for configuration num.partitions: it cannot change while the broker runs",
            ]
        );
    }
}
