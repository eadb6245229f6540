//! `klamm settings`: the table of settings, for reading.

use clap::Args;
use klamm_config::setting::{Default, Mode, Scope, Setting, Shown, Status};
use klamm_config::table::{self, SECTIONS, Section};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  klamm settings                        all settings of brokers
  klamm settings --topic                those of topics
  klamm settings retention.ms num.partitions
  klamm settings --grep compact";

/// Show settings of brokers, topics and groups: type, default and meaning
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Settings {
    /// Names of settings to show in full
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// List the settings of topics
    #[arg(short, long, conflicts_with_all = ["group", "names"])]
    topic: bool,

    /// List the settings of groups
    #[arg(short, long, conflicts_with = "names")]
    group: bool,

    /// Only settings that have this in their name or description
    #[arg(long, value_name = "TEXT", conflicts_with = "names")]
    grep: Option<String>,

    /// Print JSON
    #[arg(long, conflicts_with = "names")]
    json: bool,
}

impl Settings {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut output = Output::stdout();
        if !self.names.is_empty() {
            self.names.iter().try_for_each(|name| describe(&mut output, name))?;
        } else if self.json {
            let settings = self.sections().flat_map(|section| self.listed(section));
            output.json(&settings.map(as_json).collect())?;
        } else {
            self.sections().try_for_each(|section| self.list(&mut output, section))?;
        }
        output.flush()
    }

    fn sections(&self) -> impl Iterator<Item = &'static Section> {
        let scope = match (self.topic, self.group) {
            (true, _) => Scope::Topic,
            (_, true) => Scope::Group,
            _ => Scope::Broker,
        };
        SECTIONS.iter().filter(move |section| section.scope == scope)
    }

    fn listed(&self, section: &'static Section) -> impl Iterator<Item = &'static Setting> {
        section.settings.iter().filter(|setting| setting.shown != Shown::Internal && self.is_match(setting))
    }

    fn is_match(&self, setting: &Setting) -> bool {
        let Some(text) = &self.grep else { return true };
        let text = text.to_lowercase();
        setting.name.contains(&text) || setting.doc.to_lowercase().contains(&text)
    }

    fn list(&self, output: &mut Output, section: &'static Section) -> Result<(), Failure> {
        let mut table = Table::new(&["NAME", "TYPE", "DEFAULT", "CHANGES", "IN KLAMM"]);
        let mut is_empty = true;
        for setting in self.listed(section) {
            is_empty = false;
            table.row([
                setting.name.to_owned(),
                setting.kind.name().to_owned(),
                default_text(setting).to_owned(),
                mode_text(setting.mode).to_owned(),
                status_text(setting.status).to_owned(),
            ]);
        }
        if is_empty { Ok(()) } else { output.line(format!("# {}\n{}", section.title, table.render())) }
    }
}

/// Everything about one name, which may be a setting of broker and topic at once.
fn describe(output: &mut Output, name: &str) -> Result<(), Failure> {
    let scopes = [Scope::Broker, Scope::Topic, Scope::Group, Scope::ClientMetrics];
    let found: Vec<_> =
        scopes.into_iter().filter_map(|scope| Some((scope, table::find(scope, name)?))).collect();
    if found.is_empty() {
        let nearest = scopes.into_iter().find_map(|scope| table::nearest(scope, name));
        let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        return Err(Failure::usage(format!("there is no setting {name}{hint}")));
    }
    found.into_iter().try_for_each(|(scope, setting)| output.line(full_text(scope, setting)))
}

fn full_text(scope: Scope, setting: &Setting) -> String {
    let mut text = format!("{}  ({} setting)\n  {}\n", setting.name, scope_text(scope), setting.doc);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9}{value}\n"));
    line("type", setting.kind.name());
    line("default", default_text(setting));
    let valid = setting.validity.to_string();
    if !valid.is_empty() {
        line("valid", &valid);
    }
    line("changes", mode_text(setting.mode));
    if let Some((name, factor)) = setting.fallback {
        let times = if factor == 1 { String::new() } else { format!(" times {factor}") };
        line("else", &format!("{name}{times}, where this is not set"));
    }
    if let Some(name) = setting.broker_name {
        line("broker", &format!("{name}, for all that have no value of their own"));
    }
    line("in Klamm", status_text(setting.status));
    text
}

fn as_json(setting: &'static Setting) -> Value {
    json!({
        "name": setting.name,
        "type": setting.kind.name(),
        "default": setting.default_text(),
        "valid": setting.validity.to_string(),
        "changes": mode_text(setting.mode),
        "status": status_text(setting.status),
        "doc": setting.doc,
    })
}

fn default_text(setting: &Setting) -> &'static str {
    match setting.default {
        Default::Required => "(required)",
        Default::Null => "(none)",
        Default::Value("") => "(empty)",
        Default::Value(text) => text,
    }
}

fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Broker => "broker",
        Scope::Topic => "topic",
        Scope::Group => "group",
        Scope::ClientMetrics => "client metrics",
    }
}

fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::ReadOnly => "on restart",
        Mode::PerBroker => "any time, for each broker",
        Mode::ClusterWide => "any time, for brokers or cluster",
        Mode::PerResource => "any time",
    }
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Done => "yes",
        Status::Later => "not yet",
        Status::Moot => "has no effect",
    }
}
