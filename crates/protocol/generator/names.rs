//! Kafka's names in Rust's spelling.

/// `TimeoutMs` → `timeout_ms`, `KRaftVersion` → `kraft_version`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    let mut snake = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let after_lower = i > 0 && !letters[i - 1].is_uppercase();
        let before_lower = letters.get(i + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && i > 0 && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A field's name, escaped where it is a word of the language.
pub(crate) fn field(name: &str) -> String {
    let snake = snake_case(name);
    if matches!(snake.as_str(), "type" | "match") { format!("r#{snake}") } else { snake }
}

/// A request's or response's API: `FetchRequest` → `Fetch`.
pub(crate) fn api(message: &str) -> &str {
    message.strip_suffix("Request").or_else(|| message.strip_suffix("Response")).unwrap_or(message)
}
