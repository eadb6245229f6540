//! Enums over stored records: one variant a record, chosen by the key on the wire.

use std::fmt::Write as _;

use super::schema::{Kind, Message};

/// The enums of a schema file that holds stored records.
pub(crate) fn enums(stem: &str, messages: &[Message]) -> Option<String> {
    let of = |kind| messages.iter().filter(move |m| m.kind == kind).collect::<Vec<_>>();
    Some(match stem {
        "metadata-records" => record_enum("MetadataRecord", "Record", &of(Kind::MetadataRecord)),
        "remote-log-records" => record_enum("RemoteLogRecord", "Record", &of(Kind::MetadataRecord)),
        "group-records" => coordinator_enums("Group", messages),
        "transaction-records" => coordinator_enums("Transaction", messages),
        "share-records" => coordinator_enums("Share", messages),
        _ => return None,
    })
}

fn coordinator_enums(name: &str, messages: &[Message]) -> String {
    let of = |kind| messages.iter().filter(move |m| m.kind == kind).collect::<Vec<_>>();
    let keys = record_enum(&format!("{name}Key"), "Key", &of(Kind::CoordinatorKey));
    let values = record_enum(&format!("{name}Value"), "Value", &of(Kind::CoordinatorValue));
    format!("{keys}\n{values}")
}

/// The enum, and `key`, `versions`, `decode_body`, `encode_body`, `into_static`, `From`.
fn record_enum(name: &str, suffix: &str, messages: &[&Message]) -> String {
    let mut arms = Arms::default();
    for message in messages {
        arms.add(name, suffix, message);
    }
    let Arms { variants, keys, versions, decode, encode, statics } = arms;
    let count = messages.len();
    let borrows = messages.iter().any(|message| message.borrows(&message.structs[0]));
    let froms: String = messages.iter().map(|message| from_impl(name, borrows, suffix, message)).collect();
    let (generics, owned) = if borrows { ("<'a>", "<'static>") } else { ("", "") };
    format!(
        "/// Any of the {count} records of this kind.\n#[derive(Debug, Clone, PartialEq)]\n\
         pub enum {name}{generics} {{\n{variants}}}\n\n\
         impl<'a> {name}{generics} {{\n\
         /// The number that names the record on the wire.\n\
         pub fn key(&self) -> i16 {{\nmatch self {{\n{keys}}}\n}}\n\n\
         /// The versions of this record.\n\
         pub fn versions(&self) -> VersionRange {{\nmatch self {{\n{versions}}}\n}}\n\n\
         /// The same, borrowing nothing.\n\
         pub fn into_static(self) -> {name}{owned} {{\nmatch self {{\n{statics}}}\n}}\n\n\
         fn decode_body(key: i16, version: i16, r: &mut Reader<'a>) -> Result<Self, DecodeError> {{\n\
         Ok(match key {{\n{decode}_ => return Err(DecodeError::new(r, DecodeErrorKind::UnknownRecord(key))),\n}})\n}}\n\n\
         fn encode_body(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\n\
         match self {{\n{encode}}}\n}}\n}}\n\n{froms}"
    )
}

/// What each record adds to the enum.
#[derive(Default)]
struct Arms {
    variants: String,
    keys: String,
    versions: String,
    decode: String,
    encode: String,
    statics: String,
}

impl Arms {
    fn add(&mut self, name: &str, suffix: &str, message: &Message) {
        let record = &message.name;
        let variant = variant(suffix, message);
        let key = message.number();
        let borrows = message.borrows(&message.structs[0]);
        let (generics, owned) = if borrows { ("<'a>", "v.into_static()") } else { ("", "v") };
        let _ = writeln!(self.variants, "/// Key {key}.\n{variant}({record}{generics}),");
        let _ = writeln!(self.keys, "Self::{variant}(_) => {key},");
        let _ = writeln!(self.versions, "Self::{variant}(_) => {record}::VERSIONS,");
        let _ = writeln!(self.decode, "{key} => Self::{variant}({record}::decode(r, version)?),");
        let _ = writeln!(self.encode, "Self::{variant}(v) => v.encode(w, version),");
        let _ = writeln!(self.statics, "Self::{variant}(v) => {name}::{variant}({owned}),");
    }
}

fn variant<'m>(suffix: &str, message: &'m Message) -> &'m str {
    message.name.strip_suffix(suffix).unwrap_or(&message.name)
}

/// `From` a record for the enum.
fn from_impl(name: &str, enum_borrows: bool, suffix: &str, message: &Message) -> String {
    let (record, variant) = (&message.name, variant(suffix, message));
    let (implementation, record, lifetime) = match (message.borrows(&message.structs[0]), enum_borrows) {
        (true, _) => ("impl<'a>", format!("{record}<'a>"), "<'a>"),
        (false, true) => ("impl", record.clone(), "<'_>"),
        (false, false) => ("impl", record.clone(), ""),
    };
    format!(
        "{implementation} From<{record}> for {name}{lifetime} {{\n\
         fn from(record: {record}) -> Self {{\nSelf::{variant}(record)\n}}\n}}\n\n"
    )
}
