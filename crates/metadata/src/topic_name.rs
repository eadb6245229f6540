//! Which names a topic may have.

/// Longest topic name: with a partition number behind it, it has to fit a file name.
const NAME_LEN_MAX: usize = 249;

/// Why a name is no topic name; none where it is one.
pub fn reason_invalid(name: &str) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        Some("a topic name cannot be empty".to_owned())
    } else if name == "." || name == ".." {
        Some(format!("'{name}' cannot be a topic name"))
    } else if name.len() > NAME_LEN_MAX {
        Some(format!("the topic name has {} characters, at most {NAME_LEN_MAX} are allowed", name.len()))
    } else if !name.bytes().all(legal) {
        Some(format!("topic name '{name}' has characters other than letters, digits, '.', '_' and '-'"))
    } else {
        None
    }
}

/// The form in which two names collide: metric names cannot tell a period from an underscore. None where the name has neither.
pub fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(250);
        let cases = [
            ("a", true),
            ("a.b_c-D9", true),
            ("...", true),
            (&long[1..], true),
            ("", false),
            (".", false),
            ("..", false),
            (&long, false),
            ("a b", false),
            ("ä", false),
            ("a/b", false),
        ];
        for (name, valid) in cases {
            assert_eq!(reason_invalid(name).is_none(), valid, "{name}");
        }
    }

    #[test]
    fn collisions() {
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
        assert_ne!(collision_key("a.b"), collision_key("a.c"));
        assert_eq!(collision_key("ab"), None);
    }
}
