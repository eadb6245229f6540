//! Reads the schema notation (`schema/README.md`). Anything it does not know is an error.

use super::schema::{Field, Fixed, Kind, Message, Struct, Type, Versions};

/// The blocks of one schema file.
pub(crate) fn messages(text: &str) -> Result<Vec<Message>, String> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(message).collect()
}

fn message(block: &str) -> Result<Message, String> {
    let mut lines = block.lines().filter(|line| !line.trim().is_empty());
    let head = lines.next().ok_or("an empty block")?;
    let mut message = header(head).map_err(|e| format!("{head}: {e}"))?;
    let top = Struct { name: message.name.clone(), versions: message.versions, fields: Vec::new() };
    let mut body = Body { structs: vec![top], open: vec![Open { depth: 1, index: 0 }], last_field: None };
    for line in lines {
        body.line(line).map_err(|e| format!("{}: {line}: {e}", message.name))?;
    }
    message.structs = body.structs;
    check(&message)?;
    Ok(message)
}

fn header(line: &str) -> Result<Message, String> {
    let mut parts = line.split(", ");
    let kind = kind(parts.next().unwrap_or_default())?;
    let name = parts.next().ok_or("no name")?.to_owned();
    let mut message = Message {
        kind,
        name,
        key: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        on_broker: false,
        on_controller: false,
        latest_unstable: false,
        structs: Vec::new(),
    };
    for part in parts {
        let (word, value) = part.split_once(' ').unwrap_or((part, ""));
        match word {
            "key" => message.key = Some(number(value)?),
            "versions" => message.versions = versions(value)?,
            "flexible" => message.flexible = versions(value)?,
            "listeners" => {
                message.on_broker = value.split(' ').any(|l| l == "broker");
                message.on_controller = value.split(' ').any(|l| l == "controller");
            }
            "latest-unstable" => message.latest_unstable = true,
            _ => return Err(format!("unknown word {word}")),
        }
    }
    Ok(message)
}

fn kind(word: &str) -> Result<Kind, String> {
    Ok(match word {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" => Kind::Header,
        "data" => Kind::Data,
        "metadata" => Kind::MetadataRecord,
        "coordinator-key" => Kind::CoordinatorKey,
        "coordinator-value" => Kind::CoordinatorValue,
        _ => return Err(format!("unknown kind {word}")),
    })
}

/// A structure whose fields may still follow, at this depth.
struct Open {
    depth: usize,
    index: usize,
}

/// The structures of a block while its lines are read.
struct Body {
    structs: Vec<Struct>,
    open: Vec<Open>,
    last_field: Option<(usize, Type, Versions)>,
}

impl Body {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let text = line.trim();
        if let Some(declared) = text.strip_prefix("struct ") {
            return self.declared_struct(depth, declared);
        }
        self.enter(depth)?;
        let (field, is_tagged_always) = field(text)?;
        if !is_tagged_always {
            return Err("a field is tagged in some of its versions only".into());
        }
        self.last_field = Some((depth, field.ty.clone(), field.versions));
        let index = self.open.last().ok_or("a field outside of a structure")?.index;
        self.structs[index].fields.push(field);
        Ok(())
    }

    fn declared_struct(&mut self, depth: usize, declared: &str) -> Result<(), String> {
        let (name, range) = declared.split_once(", ").ok_or("a structure without versions")?;
        self.open.retain(|open| open.depth <= depth);
        self.begin(depth + 1, name.to_owned(), versions(range)?);
        Ok(())
    }

    /// Closes the structures that ended before `depth`, or opens that of the field above.
    fn enter(&mut self, depth: usize) -> Result<(), String> {
        self.open.retain(|open| open.depth <= depth);
        if self.open.last().is_some_and(|open| open.depth == depth) {
            return Ok(());
        }
        match self.last_field.take() {
            Some((above, ty, range)) if above + 1 == depth => {
                let name = struct_name(&ty).ok_or("a field below one that is no structure")?.to_owned();
                self.begin(depth, name, range);
                Ok(())
            }
            _ => Err("wrong indentation".into()),
        }
    }

    fn begin(&mut self, depth: usize, name: String, range: Versions) {
        let versions = range.and(self.structs[0].versions);
        self.structs.push(Struct { name, versions, fields: Vec::new() });
        self.open.push(Open { depth, index: self.structs.len() - 1 });
        self.last_field = None;
    }
}

fn struct_name(ty: &Type) -> Option<&str> {
    match ty {
        Type::Struct(name) => Some(name),
        Type::Array(element) => struct_name(element),
        _ => None,
    }
}

/// A field, and whether its tag (if it has one) holds in all versions that carry it.
fn field(text: &str) -> Result<(Field, bool), String> {
    let mut parts = text.split(", ");
    let (name, type_name) = parts.next().and_then(|p| p.split_once(": ")).ok_or("no `Name: type`")?;
    let mut field = Field {
        name: name.to_owned(),
        ty: ty(name, type_name)?,
        versions: Versions::ALL,
        nullable: Versions::NONE,
        tag: None,
        flexible: None,
        default: None,
        ignorable: false,
    };
    let mut tagged_versions = Versions::ALL;
    for part in parts {
        let (word, value) = part.split_once(' ').unwrap_or((part, ""));
        match word {
            "null" => field.nullable = versions(value)?,
            "flexible" => field.flexible = Some(versions(value)?),
            "default" => field.default = Some(value.to_owned()),
            "ignorable" => field.ignorable = true,
            "tag" => {
                let (tag, range) = value.split_once(' ').ok_or("a tag without versions")?;
                field.tag = Some(tag.parse().map_err(|_| "a tag that is no number")?);
                tagged_versions = versions(range)?;
            }
            "key" | "entity" | "zerocopy" => {}
            _ => field.versions = versions(part)?,
        }
    }
    let tagged_throughout = tagged_versions.covers(field.versions);
    Ok((field, tagged_throughout))
}

fn ty(field: &str, name: &str) -> Result<Type, String> {
    if let Some(element) = name.strip_prefix("[]") {
        return Ok(Type::Array(Box::new(ty(field, element)?)));
    }
    Ok(match name {
        "bool" => Type::Fixed(Fixed::Bool),
        "int8" => Type::Fixed(Fixed::Int8),
        "int16" if field.ends_with("ErrorCode") => Type::Fixed(Fixed::ErrorCode),
        "int16" => Type::Fixed(Fixed::Int16),
        "int32" => Type::Fixed(Fixed::Int32),
        "int64" => Type::Fixed(Fixed::Int64),
        "uint16" => Type::Fixed(Fixed::Uint16),
        "uint32" => Type::Fixed(Fixed::Uint32),
        "float64" => Type::Fixed(Fixed::Float64),
        "uuid" => Type::Fixed(Fixed::Uuid),
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ if name.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Struct(name.to_owned()),
        _ => return Err(format!("unknown type {name}")),
    })
}

fn versions(text: &str) -> Result<Versions, String> {
    if text == "none" {
        return Ok(Versions::NONE);
    }
    if let Some(min) = text.strip_suffix('+') {
        return Ok(Versions { min: number(min)?, max: i16::MAX });
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    Ok(Versions { min: number(min)?, max: number(max)? })
}

fn number(text: &str) -> Result<i16, String> {
    text.parse().map_err(|_| format!("{text} is no version or number"))
}

/// What the emitters rely on.
fn check(message: &Message) -> Result<(), String> {
    let needs_key = !matches!(message.kind, Kind::Header | Kind::Data);
    if needs_key && message.key.is_none() {
        return Err(format!("{}: no key", message.name));
    }
    if message.versions.is_empty() {
        return Err(format!("{}: no versions", message.name));
    }
    for structure in &message.structs {
        for field in &structure.fields {
            let missing = |name| message.structs.iter().all(|s| s.name != name);
            if struct_name(&field.ty).is_some_and(missing) {
                return Err(format!("{}: {}: its structure is not described", message.name, field.name));
            }
            if field.tag.is_some() && !message.flexible.covers(field.versions.and(structure.versions)) {
                return Err(format!("{}: {}: tagged in a plain version", message.name, field.name));
            }
        }
    }
    Ok(())
}
