//! Decoding and encoding of one structure: straight-line code, one statement a field.

use std::fmt::Write as _;

use super::{
    expr::{self, When},
    names,
    schema::{Field, Message, Struct, Type},
};

/// `impl Decode`. A message's own checks its version first and names the message in errors.
pub(crate) fn decode(out: &mut String, message: &Message, structure: &Struct, is_top: bool) {
    let body = decode_body(message, structure);
    let version = version_parameter(&body);
    let name = &structure.name;
    let generics = if message.borrows(structure) { "<'a>" } else { "" };
    let _ = writeln!(out, "impl<'a> Decode<'a> for {name}{generics} {{");
    if is_top {
        let _ = write!(
            out,
            "fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{\n\
             decode_message(r, version, decode_body)\n}}\n}}\n\n\
             fn decode_body<'a>(r: &mut Reader<'a>, {version}: i16) -> Result<{name}{generics}, DecodeError> {{\n\
             {body}}}\n\n"
        );
    } else {
        let _ = write!(
            out,
            "fn decode(r: &mut Reader<'a>, {version}: i16) -> Result<Self, DecodeError> {{\n{body}}}\n}}\n\n"
        );
    }
}

/// The parameter's name, marked as unused where the body does without it.
fn version_parameter(body: &str) -> &'static str {
    let mut words = body.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | ':'));
    if words.any(|word| word == "version") { "version" } else { "_version" }
}

/// The fields in the order of the wire, then the tagged section.
fn decode_body(message: &Message, structure: &Struct) -> String {
    let mut literal = format!("{} {{\n", structure.name);
    for field in &structure.fields {
        let value = match field.tag {
            Some(_) => expr::default_value(field),
            None => decode_field(message, structure, field),
        };
        let _ = writeln!(literal, "{}: {value},", names::field(&field.name));
    }
    literal.push('}');
    let flex = flex_binding(message, structure);
    let tags = decode_tags(message, structure);
    match (tags.is_empty(), structure.fields.iter().any(|f| f.tag.is_some())) {
        (true, _) => format!("{flex}Ok({literal})\n"),
        (false, true) => format!("{flex}let mut message = {literal};\n{tags}Ok(message)\n"),
        (false, false) => format!("{flex}let message = {literal};\n{tags}Ok(message)\n"),
    }
}

fn flex_binding(message: &Message, structure: &Struct) -> String {
    match expr::when(message.flexible, structure.versions) {
        When::If(condition) => format!("let flex = {condition};\n"),
        _ => String::new(),
    }
}

fn decode_field(message: &Message, structure: &Struct, field: &Field) -> String {
    match expr::when(field.versions, structure.versions) {
        When::Always => read(message, structure, field),
        When::Never => expr::default_value(field),
        When::If(condition) => {
            let value = read(message, structure, field);
            format!("if {condition} {{ {value} }} else {{ {} }}", expr::default_value(field))
        }
    }
}

/// Reads a field that is there.
fn read(message: &Message, structure: &Struct, field: &Field) -> String {
    let flex = expr::field_flex(message, structure, field);
    if !field.is_optional() {
        return read_plain(&field.ty, flex);
    }
    let (nullable, plain) = (read_nullable(field, flex), format!("Some({})", read_plain(&field.ty, flex)));
    match expr::when(field.nullable, structure.versions.and(field.versions)) {
        When::Always => nullable,
        When::Never => plain,
        When::If(condition) => format!("if {condition} {{ {nullable} }} else {{ {plain} }}"),
    }
}

fn read_plain(ty: &Type, flex: &str) -> String {
    match ty {
        Type::Fixed(fixed) => format!("r.{}()?", expr::fixed_method(*fixed)),
        Type::String => format!("r.string({flex})?"),
        Type::Bytes => format!("r.bytes({flex})?"),
        Type::Records => format!("r.records({flex})?"),
        Type::Struct(name) => format!("{name}::decode(r, version)?"),
        Type::Array(element) => match element.as_ref() {
            Type::Fixed(_) => format!("r.fixed_array({flex})?"),
            element => format!("r.array({flex}, {})?", element_reader(element, flex)),
        },
    }
}

fn read_nullable(field: &Field, flex: &str) -> String {
    match &field.ty {
        Type::Fixed(_) => panic!("{}: a value of fixed size is never null", field.name),
        Type::String => format!("r.nullable_string({flex})?"),
        Type::Bytes => format!("r.nullable_bytes({flex})?"),
        Type::Records => format!("r.nullable_records({flex})?"),
        Type::Struct(name) => {
            let presence = if field.tag.is_some() { "tagged_presence" } else { "presence" };
            format!("if r.{presence}()? {{ Some({name}::decode(r, version)?) }} else {{ None }}")
        }
        Type::Array(element) => match element.as_ref() {
            Type::Fixed(_) => format!("r.nullable_fixed_array({flex})?"),
            element => format!("r.nullable_array({flex}, {})?", element_reader(element, flex)),
        },
    }
}

fn element_reader(element: &Type, flex: &str) -> String {
    match element {
        Type::String => format!("|r| r.string({flex})"),
        Type::Struct(name) => format!("|r| {name}::decode(r, version)"),
        other => panic!("arrays of {other:?} are not supported"),
    }
}

fn decode_tags(message: &Message, structure: &Struct) -> String {
    let tagged: Vec<&Field> = structure.fields.iter().filter(|f| f.tag.is_some()).collect();
    let section = if tagged.is_empty() {
        "r.skip_tagged_fields()?;".to_owned()
    } else {
        let arms: String = tagged.iter().map(|field| decode_tag(message, structure, field)).collect();
        format!(
            "for _ in 0..r.tagged_field_count()? {{\nlet (tag, size) = r.tagged_field()?;\n\
             match tag {{\n{arms}_ => r.skip(size)?,\n}}\n}}"
        )
    };
    match expr::flex(message, structure) {
        "true" => format!("{section}\n"),
        "false" => String::new(),
        _ => format!("if flex {{\n{section}\n}}\n"),
    }
}

fn decode_tag(message: &Message, structure: &Struct, field: &Field) -> String {
    let guard = match expr::when(field.versions, structure.versions.and(message.flexible)) {
        When::Always => String::new(),
        When::Never => return String::new(),
        When::If(condition) => format!(" if {condition}"),
    };
    let tag = field.tag.unwrap_or_default();
    format!("{tag}{guard} => message.{} = {},\n", names::field(&field.name), read(message, structure, field))
}

/// `impl Encode`.
pub(crate) fn encode(out: &mut String, message: &Message, structure: &Struct, is_top: bool) {
    let mut body = flex_binding(message, structure);
    for field in &structure.fields {
        body.push_str(&encode_field(message, structure, field));
    }
    body.push_str(&encode_tags(message, structure));
    let elided = if message.borrows(structure) { "<'_>" } else { "" };
    let check = if is_top { "Self::VERSIONS.check_encode(Self::NAME, version)?;\n" } else { "" };
    let version = if is_top { "version" } else { version_parameter(&body) };
    let _ = write!(
        out,
        "impl Encode for {}{elided} {{\nfn encode(&self, w: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{\n\
         {check}{body}Ok(())\n}}\n}}\n\n",
        structure.name
    );
}

/// Writes the field, or refuses where its version has no place for what it holds.
fn encode_field(message: &Message, structure: &Struct, field: &Field) -> String {
    let write = write(message, structure, field);
    let refuse =
        format!("return Err(EncodeError::unsupported(\"{}\", \"{}\", version));", message.name, field.name);
    let is_set = expr::is_set(field);
    match (expr::when(field.versions, structure.versions), field.tag.is_some(), field.ignorable) {
        (When::Always, false, _) => format!("{write}\n"),
        (When::Always, true, _) | (When::Never, _, true) | (When::If(_), true, true) => String::new(),
        (When::Never, _, false) => format!("if {is_set} {{ {refuse} }}\n"),
        (When::If(there), false, true) => format!("if {there} {{ {write} }}\n"),
        (When::If(there), false, false) => {
            format!("if {there} {{ {write} }} else if {is_set} {{ {refuse} }}\n")
        }
        (When::If(_), true, false) => {
            let absent = expr::unless(field.versions, structure.versions);
            format!("if {absent} && {is_set} {{ {refuse} }}\n")
        }
    }
}

/// Writes a field that is there.
fn write(message: &Message, structure: &Struct, field: &Field) -> String {
    let flex = expr::field_flex(message, structure, field);
    let value = format!("self.{}", names::field(&field.name));
    if !field.is_optional() {
        return write_plain(&field.ty, flex, &value, "&");
    }
    let nullable = write_nullable(field, flex, &value);
    let required = format!("required(&{value}, \"{}\", \"{}\")?", message.name, field.name);
    let plain = write_plain(&field.ty, flex, &required, "");
    match expr::when(field.nullable, structure.versions.and(field.versions)) {
        When::Always => nullable,
        When::Never => plain,
        When::If(condition) => format!("if {condition} {{ {nullable} }} else {{ {plain} }}"),
    }
}

fn write_plain(ty: &Type, flex: &str, value: &str, by: &str) -> String {
    match ty {
        Type::Fixed(fixed) => format!("w.{}({value});", expr::fixed_method(*fixed)),
        Type::String => format!("w.string({flex}, {by}{value})?;"),
        Type::Bytes => format!("w.bytes({flex}, {by}{value})?;"),
        Type::Records => format!("w.records({flex}, {by}{value})?;"),
        Type::Struct(_) => format!("{value}.encode(w, version)?;"),
        Type::Array(element) => match element.as_ref() {
            Type::Fixed(_) => format!("w.fixed_array({flex}, {by}{value})?;"),
            element => format!("w.array({flex}, {by}{value}, {})?;", element_writer(element, flex)),
        },
    }
}

fn write_nullable(field: &Field, flex: &str, value: &str) -> String {
    match &field.ty {
        Type::Fixed(_) => panic!("{}: a value of fixed size is never null", field.name),
        Type::String => format!("w.nullable_string({flex}, {value}.as_deref())?;"),
        Type::Bytes => format!("w.nullable_bytes({flex}, {value}.as_deref())?;"),
        Type::Records => format!("w.nullable_records({flex}, {value}.as_ref())?;"),
        Type::Struct(_) => {
            let presence = if field.tag.is_some() { "tagged_presence" } else { "presence" };
            format!(
                "w.{presence}({value}.is_some());\n\
                 if let Some(value) = &{value} {{ value.encode(w, version)?; }}"
            )
        }
        Type::Array(element) => match element.as_ref() {
            Type::Fixed(_) => format!("w.nullable_fixed_array({flex}, {value}.as_deref())?;"),
            element => {
                format!("w.nullable_array({flex}, {value}.as_deref(), {})?;", element_writer(element, flex))
            }
        },
    }
}

fn element_writer(element: &Type, flex: &str) -> String {
    match element {
        Type::String => format!("|w, value| w.string({flex}, value)"),
        Type::Struct(_) => "|w, value| value.encode(w, version)".into(),
        other => panic!("arrays of {other:?} are not supported"),
    }
}

fn encode_tags(message: &Message, structure: &Struct) -> String {
    let mut tagged: Vec<&Field> = structure.fields.iter().filter(|f| f.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    let mut section = String::new();
    for field in &tagged {
        let there = match expr::when(field.versions, structure.versions.and(message.flexible)) {
            When::If(condition) => format!("{condition} && "),
            _ => String::new(),
        };
        let _ =
            writeln!(section, "let has_{} = {there}{};", names::snake_case(&field.name), expr::is_set(field));
    }
    let count: Vec<String> =
        tagged.iter().map(|f| format!("u32::from(has_{})", names::snake_case(&f.name))).collect();
    let count = if count.is_empty() { "0".into() } else { count.join(" + ") };
    let _ = writeln!(section, "w.unsigned_varint({count});");
    for field in &tagged {
        let (name, tag) = (names::snake_case(&field.name), field.tag.unwrap_or_default());
        let value = write(message, structure, field);
        let _ = writeln!(
            section,
            "if has_{name} {{\nlet start = w.begin_tagged_field({tag});\n{value}\nw.end_tagged_field(start);\n}}"
        );
    }
    match expr::flex(message, structure) {
        "true" => section,
        "false" => String::new(),
        _ => format!("if flex {{\n{section}}}\n"),
    }
}
