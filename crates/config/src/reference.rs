//! The reference of all settings, `docs/settings.md`, made from the table.

use std::fmt::Write;

use crate::setting::{Default, Kind, Mode, Scope, Setting, Shown, Status};
use crate::table::{SECTIONS, Section};
use crate::validity::Validity;

const HEAD: &str = "\
# Settings

Klamm reads Kafka's settings under Kafka's names, from a `.properties` file (`klamm start --config FILE`) and from the
command line (`--set name=value`), and adds its own under `klamm.`. This page is made from the table in
`crates/config`, and a test holds it to that table.

- **Changes**: *restart* is read from the file at start; *broker* may change while brokers run, for one of them;
  *cluster* also for all of them. What is set for one broker comes before what is set for all, then the file, then the
  default. Topics and groups are changed at any time.
- **Klamm**: *yes* means that Klamm acts on it; *not yet* means that it is accepted with a warning; *moot* means that
  Klamm has nothing it would tune.
";

/// The whole page, in Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let scopes = [
        (Scope::Broker, "Broker"),
        (Scope::Topic, "Topic"),
        (Scope::Group, "Group"),
        (Scope::ClientMetrics, "Client metrics"),
    ];
    for (scope, title) in scopes {
        let sections: Vec<_> = SECTIONS.iter().filter(|section| section.scope == scope).collect();
        write_line(&mut page, format_args!("\n## {title}"));
        for section in &sections {
            if scope == Scope::Broker {
                write_line(&mut page, format_args!("\n### {}", section.title));
            }
            write_section(&mut page, section);
        }
    }
    page
}

fn write_line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes all that is written");
}

fn write_section(page: &mut String, section: &Section) {
    let last = if section.scope == Scope::Broker { "Changes" } else { "Without it" };
    write_line(
        page,
        format_args!(
            "\n| Setting | Type | Default | Valid | {last} | Klamm | |\n|---|---|---|---|---|---|---|"
        ),
    );
    for setting in section.settings.iter().filter(|setting| setting.shown != Shown::Internal) {
        write_line(
            page,
            format_args!(
                "| `{}` | {} | {} | {} | {} | {} | {} |",
                setting.name,
                setting.kind.name(),
                default(setting),
                valid(setting),
                if section.scope == Scope::Broker { changes(setting) } else { inherits(setting) },
                status(setting),
                setting.doc,
            ),
        );
    }
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Default::Required => "(required)".to_owned(),
        Default::Null => "(none)".to_owned(),
        Default::Value("") => "(empty)".to_owned(),
        Default::Value(text) => match readable(setting.name, text) {
            Some(readable) => format!("`{text}` ({readable})"),
            None => format!("`{text}`"),
        },
    }
}

/// A large number in a larger unit, where the setting's name tells the unit and the number is whole in it.
fn readable(name: &str, text: &str) -> Option<String> {
    let number: u64 = text.parse().ok()?;
    if number == i64::MAX as u64 || number == i32::MAX as u64 {
        return Some("the largest".to_owned());
    }
    let bytes = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let times = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let units = match name.rsplit('.').next() {
        Some("bytes" | "size") => bytes.as_slice(),
        Some("ms") => times.as_slice(),
        _ => return None,
    };
    let (unit, symbol) = units.iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit))?;
    Some(format!("{} {symbol}", number / unit))
}

fn valid(setting: &Setting) -> String {
    match setting.validity {
        Validity::Any => String::new(),
        validity => validity.to_string().replace('*', "\\*"),
    }
}

fn changes(setting: &Setting) -> String {
    let changes = match setting.mode {
        Mode::ReadOnly => "restart",
        Mode::PerBroker => "broker",
        Mode::ClusterWide => "cluster",
        Mode::PerResource => "any time",
    };
    if setting.kind == Kind::Password { format!("{changes}, never shown") } else { changes.to_owned() }
}

fn inherits(setting: &Setting) -> String {
    setting.broker_name.map_or_else(String::new, |name| format!("`{name}`"))
}

fn status(setting: &Setting) -> &'static str {
    match setting.status {
        Status::Done => "yes",
        Status::Later => "not yet",
        Status::Moot => "moot",
    }
}
