//! What a schema file says, as data.

/// A range of versions, ends included. Empty when `min > max`; `max == i16::MAX` means open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    pub(crate) const ALL: Self = Self { min: 0, max: i16::MAX };
    pub(crate) const NONE: Self = Self { min: 1, max: 0 };

    pub(crate) fn is_empty(self) -> bool {
        self.min > self.max
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let both = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        if both.is_empty() { Self::NONE } else { both }
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.min <= other.min && other.max <= self.max)
    }
}

/// The types of values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    /// A value of fixed size.
    Fixed(Fixed),
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

/// The types whose values always have the same size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fixed {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint16,
    Uint32,
    Float64,
    Uuid,
    /// An int16 that holds an error code.
    ErrorCode,
}

/// One field of a structure.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// The versions that carry the field.
    pub(crate) versions: Versions,
    /// The versions in which it may be null.
    pub(crate) nullable: Versions,
    /// Its number, when it is a tagged field.
    pub(crate) tag: Option<u32>,
    /// Its own flexible versions, where they differ from the message's.
    pub(crate) flexible: Option<Versions>,
    pub(crate) default: Option<String>,
    /// Whether a version that lacks the field may be written although the field is set.
    pub(crate) ignorable: bool,
}

impl Field {
    /// Whether the Rust type is an `Option`.
    pub(crate) fn is_optional(&self) -> bool {
        !self.nullable.is_empty() || self.ty == Type::Records
    }

    /// Whether it begins as null. A nullable field without a default begins empty, not null.
    pub(crate) fn defaults_to_null(&self) -> bool {
        self.default.as_deref() == Some("null") || self.ty == Type::Records
    }
}

/// A structure; the first of a message is the message itself.
#[derive(Clone, Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) versions: Versions,
    pub(crate) fields: Vec<Field>,
}

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Request,
    Response,
    Header,
    Data,
    MetadataRecord,
    CoordinatorKey,
    CoordinatorValue,
}

/// One block of a schema file.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) key: Option<i16>,
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    pub(crate) on_broker: bool,
    pub(crate) on_controller: bool,
    pub(crate) latest_unstable: bool,
    pub(crate) structs: Vec<Struct>,
}

impl Message {
    pub(crate) fn structure(&self, name: &str) -> &Struct {
        self.structs.iter().find(|s| s.name == name).expect("parse checked that every structure is described")
    }

    /// The key of a message whose kind always has one.
    pub(crate) fn number(&self) -> i16 {
        self.key.expect("parse checked that this kind has a key")
    }

    /// Whether the Rust type borrows from the frame, directly or through a field.
    pub(crate) fn borrows(&self, structure: &Struct) -> bool {
        structure.fields.iter().any(|f| self.type_borrows(&f.ty))
    }

    pub(crate) fn type_borrows(&self, ty: &Type) -> bool {
        match ty {
            Type::Fixed(_) => false,
            Type::String | Type::Bytes | Type::Records => true,
            Type::Struct(name) => self.borrows(self.structure(name)),
            Type::Array(element) => self.type_borrows(element),
        }
    }
}
