//! The Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write};

/// The format's media type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of metric a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// A label's name and value.
pub(super) type Label<'l> = (&'l str, &'l str);

/// What a scrape gets: families of samples.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

/// The samples of one metric. They follow its head without others between them.
pub(super) struct Family<'p> {
    text: &'p mut String,
    name: &'static str,
}

impl Page {
    /// Begins a family. A family is begun once on a page.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.text, name }
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    pub(super) fn into_string(self) -> String {
        self.text
    }

    /// The samples without the heads.
    #[cfg(test)]
    pub(super) fn samples(&self) -> Vec<&str> {
        self.text.lines().filter(|line| !line.starts_with('#')).collect()
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// A sample whose name is the family's with a suffix, as histograms have.
    pub(super) fn sample_of(&mut self, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        write(self.text, format_args!("{}{suffix}", self.name));
        for (at, (name, value)) in labels.iter().enumerate() {
            write(self.text, format_args!("{}{name}=\"", if at == 0 { '{' } else { ',' }));
            push_escaped(self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        write(self.text, format_args!(" {value}\n"));
    }
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes whatever is written");
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_a_head_and_their_labels_are_escaped() {
        let mut page = Page::default();
        page.gauge("up_seconds", "Time since the start.", 1.5);
        let mut family = page.family("seen_total", Kind::Counter, "Things seen.");
        family.sample(&[("group", "a\\b\"c\nd"), ("topic", "t")], 7);
        family.sample(&[], -1);
        let mut family = page.family("took_ms", Kind::Histogram, "Time taken.");
        family.sample_of("_bucket", &[("le", "+Inf")], 2);
        assert_eq!(
            page.into_string(),
            "# HELP up_seconds Time since the start.\n# TYPE up_seconds gauge\nup_seconds 1.5\n\
             # HELP seen_total Things seen.\n# TYPE seen_total counter\n\
             seen_total{group=\"a\\\\b\\\"c\\nd\",topic=\"t\"} 7\nseen_total -1\n\
             # HELP took_ms Time taken.\n# TYPE took_ms histogram\ntook_ms_bucket{le=\"+Inf\"} 2\n"
        );
    }
}
