//! Small pieces of Rust: conditions on versions, types, defaults.

use super::{
    names,
    schema::{Field, Fixed, Message, Struct, Type, Versions},
};

/// When something holds, within the versions that can occur at all.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Never,
    If(String),
}

/// The condition for "the version is in `range`", knowing that it is in `known`.
pub(crate) fn when(range: Versions, known: Versions) -> When {
    let range = range.and(known);
    if range.is_empty() {
        return When::Never;
    }
    let (Versions { min, max }, from, to) = (range, range.min > known.min, range.max < known.max);
    When::If(match (from, to) {
        (false, false) => return When::Always,
        _ if min == max => format!("version == {min}"),
        (true, false) => format!("version >= {min}"),
        (false, true) => format!("version <= {max}"),
        (true, true) => format!("({min}..={max}).contains(&version)"),
    })
}

/// The condition for "the version is not in `range`"; to be asked where the answer is neither always nor never.
pub(crate) fn unless(range: Versions, known: Versions) -> String {
    let Versions { min, max } = range.and(known);
    match (min > known.min, max < known.max) {
        _ if min == max => format!("version != {min}"),
        (true, false) => format!("version < {min}"),
        (false, true) => format!("version > {max}"),
        _ => format!("!({min}..={max}).contains(&version)"),
    }
}

/// The expression that says whether a structure's version is flexible.
pub(crate) fn flex(message: &Message, structure: &Struct) -> &'static str {
    match when(message.flexible, structure.versions) {
        When::Always => "true",
        When::Never => "false",
        When::If(_) => "flex",
    }
}

/// The same for one field, which may have flexible versions of its own.
pub(crate) fn field_flex(message: &Message, structure: &Struct, field: &Field) -> &'static str {
    match field.flexible {
        Some(own) if own.is_empty() => "false",
        Some(_) => panic!("{}: own flexible versions other than none are not supported", field.name),
        None if field.tag.is_some() => "true",
        None => flex(message, structure),
    }
}

pub(crate) fn fixed_type(fixed: Fixed) -> &'static str {
    match fixed {
        Fixed::Bool => "bool",
        Fixed::Int8 => "i8",
        Fixed::Int16 => "i16",
        Fixed::Int32 => "i32",
        Fixed::Int64 => "i64",
        Fixed::Uint16 => "u16",
        Fixed::Uint32 => "u32",
        Fixed::Float64 => "f64",
        Fixed::Uuid => "Uuid",
        Fixed::ErrorCode => "ErrorCode",
    }
}

/// The Reader's and Writer's method for a value of fixed size.
pub(crate) fn fixed_method(fixed: Fixed) -> &'static str {
    match fixed {
        Fixed::Uuid => "uuid",
        Fixed::ErrorCode => "error_code",
        other => fixed_type(other),
    }
}

/// A field's Rust type.
pub(crate) fn field_type(message: &Message, field: &Field) -> String {
    let plain = rust_type(message, &field.ty);
    if field.is_optional() { format!("Option<{plain}>") } else { plain }
}

fn rust_type(message: &Message, ty: &Type) -> String {
    match ty {
        Type::Fixed(fixed) => fixed_type(*fixed).into(),
        Type::String => "Cow<'a, str>".into(),
        Type::Bytes => "Cow<'a, [u8]>".into(),
        Type::Records => "Records<'a>".into(),
        Type::Struct(name) if message.type_borrows(ty) => format!("{name}<'a>"),
        Type::Struct(name) => name.clone(),
        Type::Array(element) => format!("Vec<{}>", rust_type(message, element)),
    }
}

/// A field's default, as an expression.
pub(crate) fn default_value(field: &Field) -> String {
    if field.is_optional() && field.defaults_to_null() {
        return "None".into();
    }
    let plain = match &field.ty {
        Type::Fixed(fixed) => fixed_default(*fixed, field.default.as_deref()),
        Type::String => "Cow::Borrowed(\"\")".into(),
        Type::Bytes => "Cow::Borrowed(&[])".into(),
        Type::Records => "Records::default()".into(),
        Type::Struct(name) => format!("{name}::default()"),
        Type::Array(_) => "Vec::new()".into(),
    };
    if field.is_optional() { format!("Some({plain})") } else { plain }
}

fn fixed_default(fixed: Fixed, default: Option<&str>) -> String {
    match (fixed, default) {
        (Fixed::Uuid, _) => "Uuid::ZERO".into(),
        (Fixed::ErrorCode, value) => format!("ErrorCode({})", value.unwrap_or("0")),
        (Fixed::Bool, value) => value.unwrap_or("false").into(),
        (Fixed::Float64, value) => format!("{}.0", value.unwrap_or("0")),
        (Fixed::Int32, Some("2147483647")) => "i32::MAX".into(),
        (Fixed::Int32, Some("-2147483648")) => "i32::MIN".into(),
        (Fixed::Int64, Some("9223372036854775807")) => "i64::MAX".into(),
        (_, value) => value.unwrap_or("0").into(),
    }
}

/// Whether `Default::default()` of the Rust type is the field's default.
pub(crate) fn default_is_trivial(field: &Field) -> bool {
    if field.is_optional() {
        return field.defaults_to_null();
    }
    matches!(field.default.as_deref(), None | Some("0" | "false" | "\"\""))
}

/// The expression for "this field does not hold its default".
pub(crate) fn is_set(field: &Field) -> String {
    let name = names::field(&field.name);
    if !field.is_optional() {
        return is_plain_set(field, &format!("self.{name}"), "self.");
    }
    if field.defaults_to_null() {
        return format!("self.{name}.is_some()");
    }
    format!("self.{name}.as_ref().is_none_or(|value| {})", is_plain_set(field, "value", "*"))
}

fn is_plain_set(field: &Field, value: &str, prefix: &str) -> String {
    match &field.ty {
        Type::Fixed(Fixed::Bool) if field.default.as_deref() == Some("true") => format!("!{value}"),
        Type::Fixed(Fixed::Bool) => value.into(),
        Type::Fixed(fixed) => format!("{value} != {}", fixed_default(*fixed, field.default.as_deref())),
        Type::Struct(name) if prefix == "*" => format!("*{value} != {name}::default()"),
        Type::Struct(name) => format!("{value} != {name}::default()"),
        Type::String | Type::Bytes | Type::Array(_) => format!("!{value}.is_empty()"),
        Type::Records => panic!("records always begin as null"),
    }
}
