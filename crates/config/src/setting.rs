//! What the table says about one setting.

use crate::validity::Validity;

/// What a setting is a setting of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A node, whether broker or controller.
    Broker,
    /// A topic.
    Topic,
    /// A group of any protocol.
    Group,
    /// A subscription to clients' metrics (KIP-714).
    ClientMetrics,
}

/// The type of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text; spaces around it do not count.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 64 bits.
    Long,
    /// A floating point number of 64 bits.
    Double,
    /// Texts between commas.
    List,
    /// Name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The number that DescribeConfigs answers carry for this type.
    pub const fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    /// The type's name as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::String => "string",
            Kind::Int => "int",
            Kind::Short => "short",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::List => "list",
            Kind::Class => "class",
            Kind::Password => "password",
        }
    }
}

/// The value of a setting that nobody set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// There is none: a node does not start without a value.
    Required,
    /// No value, which is a value of its own.
    Null,
    /// This value, as it would be written in a file.
    Value(&'static str),
}

/// When a setting may change, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only in the file; takes effect at the next start.
    ReadOnly,
    /// While the broker runs, for that broker alone.
    PerBroker,
    /// While brokers run, for one of them or for all.
    ClusterWide,
    /// At any time, for one topic, group or subscription.
    PerResource,
}

/// Whether Klamm acts on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Done,
    /// Not yet; setting it gives a warning.
    Later,
    /// Never, since what it tunes does not exist in Klamm; setting it gives a warning.
    Moot,
}

/// Whether a setting is shown to users who have not set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Documented and described.
    Always,
    /// Documented, but described only where it is set.
    WhenSet,
    /// Not documented, and described only where it is set.
    Internal,
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Kafka's name for it.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Value when nobody set it.
    pub default: Default,
    /// Which values of the type are allowed.
    pub validity: Validity,
    /// When it may change.
    pub mode: Mode,
    /// Whether Klamm acts on it.
    pub status: Status,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// Whether users see it unasked.
    pub shown: Shown,
    /// Broker setting whose value counts when this one has none, and by what that value is multiplied.
    pub fallback: Option<(&'static str, i64)>,
    /// Of a topic's or group's setting, the broker's setting that applies to those without a value of their own.
    pub broker_name: Option<&'static str>,
}

impl Setting {
    /// The default as written in a file; `None` for null, and where there is none.
    pub const fn default_text(&self) -> Option<&'static str> {
        match self.default {
            Default::Value(text) => Some(text),
            Default::Null | Default::Required => None,
        }
    }

    /// Whether the value must not be shown to anybody.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Whether it may change while the broker runs.
    pub const fn is_dynamic(&self) -> bool {
        !matches!(self.mode, Mode::ReadOnly)
    }

    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: Default,
        validity: Validity,
        mode: Mode,
        status: Status,
        doc: &'static str,
    ) -> Self {
        let (shown, fallback, broker_name) = (Shown::Always, None, None);
        Self { name, kind, default, validity, mode, status, doc, shown, fallback, broker_name }
    }

    pub(crate) const fn internal(mut self) -> Self {
        self.shown = Shown::Internal;
        self
    }

    pub(crate) const fn when_set(mut self) -> Self {
        self.shown = Shown::WhenSet;
        self
    }

    pub(crate) const fn or(mut self, name: &'static str, factor: i64) -> Self {
        self.fallback = Some((name, factor));
        self
    }

    pub(crate) const fn broker(mut self, name: &'static str) -> Self {
        self.broker_name = Some(name);
        self
    }
}

/// Writes rows of the table: `type "name" = default, validity, mode, status[, option(…)…]: "what it does";`.
macro_rules! settings {
    ($vis:vis $table:ident: $(
        $kind:ident $name:literal = $default:tt, $validity:ident $(($($bound:expr),+))?, $mode:ident, $status:ident
            $(, $option:ident ($($argument:expr),*))* : $doc:literal;
    )+) => {
        $vis const $table: &[$crate::setting::Setting] = &[$(
            $crate::setting::Setting::new(
                $name,
                $crate::setting::settings!(@kind $kind),
                $crate::setting::settings!(@default $default),
                $crate::setting::settings!(@validity $validity $($($bound),+)?),
                $crate::setting::settings!(@mode $mode),
                $crate::setting::settings!(@status $status),
                $doc,
            ) $(.$option($($argument),*))*
        ),+];
    };
    (@kind boolean) => { $crate::setting::Kind::Boolean };
    (@kind string) => { $crate::setting::Kind::String };
    (@kind int) => { $crate::setting::Kind::Int };
    (@kind short) => { $crate::setting::Kind::Short };
    (@kind long) => { $crate::setting::Kind::Long };
    (@kind double) => { $crate::setting::Kind::Double };
    (@kind list) => { $crate::setting::Kind::List };
    (@kind class) => { $crate::setting::Kind::Class };
    (@kind password) => { $crate::setting::Kind::Password };
    (@default required) => { $crate::setting::Default::Required };
    (@default null) => { $crate::setting::Default::Null };
    (@default $text:literal) => { $crate::setting::Default::Value($text) };
    (@validity any) => { $crate::validity::Validity::Any };
    (@validity at_least $min:expr) => { $crate::validity::Validity::AtLeast($min) };
    (@validity between $min:expr, $max:expr) => { $crate::validity::Validity::Between($min, $max) };
    (@validity fraction $min:expr, $max:expr) => { $crate::validity::Validity::Fraction($min, $max) };
    (@validity one_of $($word:expr),+) => { $crate::validity::Validity::OneOf(&[$($word),+]) };
    (@validity one_of_any_case $($word:expr),+) => { $crate::validity::Validity::OneOfAnyCase(&[$($word),+]) };
    (@validity list_of $($word:expr),+) => { $crate::validity::Validity::ListOf(&[$($word),+]) };
    (@validity some_of $($word:expr),+) => { $crate::validity::Validity::SomeOf(&[$($word),+]) };
    (@validity not_empty) => { $crate::validity::Validity::NotEmpty };
    (@validity gzip_level) => { $crate::validity::Validity::GzipLevel };
    (@validity voters) => { $crate::validity::Validity::Voters };
    (@validity servers) => { $crate::validity::Validity::Servers };
    (@validity host_counts) => { $crate::validity::Validity::HostCounts };
    (@validity throttled_replicas) => { $crate::validity::Validity::ThrottledReplicas };
    (@validity offset_reset) => { $crate::validity::Validity::OffsetReset };
    (@validity client_match) => { $crate::validity::Validity::ClientMatch };
    (@mode read_only) => { $crate::setting::Mode::ReadOnly };
    (@mode per_broker) => { $crate::setting::Mode::PerBroker };
    (@mode cluster_wide) => { $crate::setting::Mode::ClusterWide };
    (@mode per_resource) => { $crate::setting::Mode::PerResource };
    (@status done) => { $crate::setting::Status::Done };
    (@status later) => { $crate::setting::Status::Later };
    (@status moot) => { $crate::setting::Status::Moot };
}

pub(crate) use settings;
