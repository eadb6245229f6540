//! Structures: their definition, defaults, and what ties a message to its name and versions.

use std::fmt::Write as _;

use super::{
    emit_codec,
    expr::{self, When},
    names,
    schema::{Field, Kind, Message, Struct, Type, Versions},
};

/// The module of one message; `file` holds the others of its schema file.
pub(crate) fn module(message: &Message, file: &[Message]) -> String {
    let mut out = String::new();
    let (name, snake) = (&message.name, names::snake_case(&message.name));
    let _ = writeln!(out, "/// [`{name}`] and its structures.");
    let _ = writeln!(out, "pub mod {snake} {{\nuse super::prelude::*;\n");
    for (index, structure) in message.structs.iter().enumerate() {
        definition(&mut out, message, structure, index == 0);
        emit_codec::decode(&mut out, message, structure, index == 0);
        emit_codec::encode(&mut out, message, structure, index == 0);
    }
    out.push_str(&message_impl(message, file));
    out.push_str("}\n\n");
    out
}

/// Includes all modules, re-exports the messages, and lists them for whoever needs them all.
pub(crate) fn index(sources: &[(String, Vec<Message>)]) -> String {
    let mut out = String::new();
    let mut every = String::new();
    for (stem, messages) in sources {
        let _ = writeln!(out, "include!(concat!(env!(\"OUT_DIR\"), \"/{stem}.rs\"));");
        for message in messages {
            let (name, snake) = (&message.name, names::snake_case(&message.name));
            let _ = writeln!(out, "pub use {snake}::{name};");
            let _ = write!(every, " {name}");
        }
    }
    let _ = write!(
        out,
        "\n/// Calls the macro `$callback` with the names of all messages, for tests and tools that must \
         reach every one.\n#[doc(hidden)]\n#[macro_export]\nmacro_rules! for_each_message {{\n\
         ($callback:ident) => {{ $callback! {{{every} }} }};\n}}\n"
    );
    out
}

fn definition(out: &mut String, message: &Message, structure: &Struct, is_top: bool) {
    let name = &structure.name;
    let generics = if message.borrows(structure) { "<'a>" } else { "" };
    let trivial = structure.fields.iter().all(expr::default_is_trivial);
    let doc = if is_top { top_doc(message) } else { format!("A structure of [`{}`].", message.name) };
    let default = if trivial { ", Default" } else { "" };
    let _ = writeln!(out, "/// {doc}\n#[derive(Debug, Clone, PartialEq{default})]");
    let _ = writeln!(out, "pub struct {name}{generics} {{");
    for field in &structure.fields {
        let _ = writeln!(out, "/// {}", field_doc(field, structure));
        let _ = writeln!(out, "pub {}: {},", names::field(&field.name), expr::field_type(message, field));
    }
    out.push_str("}\n\n");
    if !trivial {
        default_impl(out, message, structure);
    }
    if message.borrows(structure) {
        into_static(out, message, structure);
    }
}

fn top_doc(message: &Message) -> String {
    let what = match message.kind {
        Kind::Request => "The request of API",
        Kind::Response => "The response of API",
        Kind::Header => "A frame's header",
        Kind::Data => "A structure that is stored, or carried in another message's bytes",
        Kind::MetadataRecord => "A metadata record, key",
        Kind::CoordinatorKey => "The key of a coordinator's record, number",
        Kind::CoordinatorValue => "The value of a coordinator's record, number",
    };
    let key = message.key.map(|key| format!(" {key}")).unwrap_or_default();
    let flexible = match message.flexible.is_empty() {
        true => "never flexible".into(),
        false => format!("flexible from {}", message.flexible.min),
    };
    format!("{what}{key}: versions {}, {flexible}.", range(message.versions))
}

fn field_doc(field: &Field, structure: &Struct) -> String {
    let mut doc = format!("`{}`", field.name);
    if !field.versions.covers(structure.versions) {
        let _ = write!(doc, ", versions {}", range(field.versions));
    }
    match field.nullable {
        nullable if nullable.is_empty() => {}
        nullable if nullable.covers(field.versions.and(structure.versions)) => doc.push_str(", may be null"),
        nullable => {
            let _ = write!(doc, ", may be null in {}", range(nullable));
        }
    }
    if let Some(tag) = field.tag {
        let _ = write!(doc, ", tag {tag}");
    }
    if let Some(default) = &field.default {
        let _ = write!(doc, ", default {default}");
    }
    doc.push('.');
    doc
}

fn range(versions: Versions) -> String {
    match versions {
        Versions { min, max } if min == max => format!("{min}"),
        Versions { min, max: i16::MAX } => format!("{min}+"),
        Versions { min, max } => format!("{min}-{max}"),
    }
}

fn default_impl(out: &mut String, message: &Message, structure: &Struct) {
    let generics = if message.borrows(structure) { "<'_>" } else { "" };
    let _ =
        writeln!(out, "impl Default for {}{generics} {{\nfn default() -> Self {{\nSelf {{", structure.name);
    for field in &structure.fields {
        let _ = writeln!(out, "{}: {},", names::field(&field.name), expr::default_value(field));
    }
    out.push_str("}\n}\n}\n\n");
}

fn into_static(out: &mut String, message: &Message, structure: &Struct) {
    let name = &structure.name;
    let _ = writeln!(out, "impl {name}<'_> {{\n/// The same, borrowing nothing.");
    let _ = writeln!(out, "pub fn into_static(self) -> {name}<'static> {{\n{name} {{");
    for field in &structure.fields {
        let owned = owned(message, field);
        let _ = writeln!(out, "{}: {owned},", names::field(&field.name));
    }
    out.push_str("}\n}\n}\n\n");
}

fn owned(message: &Message, field: &Field) -> String {
    let value = format!("self.{}", names::field(&field.name));
    if !message.type_borrows(&field.ty) {
        return value;
    }
    match (&field.ty, field.is_optional()) {
        (Type::String | Type::Bytes, false) => format!("Cow::Owned({value}.into_owned())"),
        (Type::String | Type::Bytes, true) => format!("{value}.map(|v| Cow::Owned(v.into_owned()))"),
        (Type::Records, _) => format!("{value}.map(Records::into_static)"),
        (Type::Struct(_), false) => format!("{value}.into_static()"),
        (Type::Struct(name), true) => format!("{value}.map({name}::into_static)"),
        (Type::Array(element), false) => owned_array(&value, element),
        (Type::Array(element), true) => format!("{value}.map(|v| {})", owned_array("v", element)),
        (Type::Fixed(_), _) => value,
    }
}

fn owned_array(value: &str, element: &Type) -> String {
    match element {
        Type::Struct(name) => format!("{value}.into_iter().map({name}::into_static).collect()"),
        _ => format!("{value}.into_iter().map(|v| Cow::Owned(v.into_owned())).collect()"),
    }
}

fn message_impl(message: &Message, file: &[Message]) -> String {
    let (name, Versions { min, max }) = (&message.name, message.versions);
    let borrows = message.borrows(&message.structs[0]);
    let elided = if borrows { "<'_>" } else { "" };
    let (flexible, version) = match expr::when(message.flexible, Versions::ALL) {
        When::Always => ("true".into(), "_version"),
        When::Never => ("false".into(), "_version"),
        When::If(condition) => (condition, "version"),
    };
    let mut out = format!(
        "impl Message for {name}{elided} {{\nconst NAME: &'static str = \"{name}\";\n\
         const VERSIONS: VersionRange = VersionRange {{ min: {min}, max: {max} }};\n\
         fn is_flexible({version}: i16) -> bool {{\n{flexible}\n}}\n}}\n\n"
    );
    let (static_type, body) = match borrows {
        true => (format!("{name}<'static>"), "self.into_static()"),
        false => (name.clone(), "self"),
    };
    let _ = writeln!(
        out,
        "impl IntoStatic for {name}{elided} {{\ntype Static = {static_type};\n\
         fn into_static(self) -> Self::Static {{\n{body}\n}}\n}}\n"
    );
    if message.kind == Kind::Request {
        request_impl(&mut out, message, elided, file);
    }
    out
}

fn request_impl(out: &mut String, message: &Message, elided: &str, file: &[Message]) {
    let api = names::api(&message.name);
    let response = file
        .iter()
        .find(|other| other.kind == Kind::Response && other.key == message.key)
        .expect("a request and its response stand in one schema file");
    let generics = if response.borrows(&response.structs[0]) { "<'r>" } else { "" };
    let _ = writeln!(
        out,
        "impl Request for {}{elided} {{\nconst KEY: ApiKey = ApiKey::{api};\n\
         type Response<'r> = super::{}::{}{generics};\n}}\n",
        message.name,
        names::snake_case(&response.name),
        response.name
    );
}
