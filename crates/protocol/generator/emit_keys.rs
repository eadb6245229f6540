//! API keys, with what the schema says of each.

use std::fmt::Write as _;

use super::{
    names,
    schema::{Kind, Message},
};

/// `enum ApiKey`, `API_KEYS` and the facts behind its methods.
pub(crate) fn api_keys(messages: &[&Message]) -> Result<String, String> {
    let mut requests: Vec<&&Message> = messages.iter().filter(|m| m.kind == Kind::Request).collect();
    requests.sort_by_key(|message| message.key);
    let [mut variants, mut facts, mut all, mut arms] = [const { String::new() }; 4];
    for request in &requests {
        let (api, key) = (names::api(&request.name), request.number());
        let has_response = messages.iter().any(|m| m.kind == Kind::Response && m.key == request.key);
        if !has_response {
            return Err(format!("{}: no response", request.name));
        }
        write_variant(&mut variants, api, key);
        let _ = writeln!(all, "ApiKey::{api},");
        let _ = writeln!(arms, "{key} => ApiKey::{api},");
        write_facts(&mut facts, request, api);
    }
    Ok(format!(
        "/// The requests of the protocol, by their number on the wire.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\n\
         pub enum ApiKey {{\n{variants}}}\n\n\
         const API_KEYS: [ApiKey; {count}] = [\n{all}];\n\n\
         fn from_number(number: i16) -> Option<ApiKey> {{\nSome(match number {{\n{arms}_ => return None,\n}})\n}}\n\n\
         fn facts(key: ApiKey) -> &'static Facts {{\nmatch key {{\n{facts}}}\n}}\n",
        count = requests.len()
    ))
}

fn write_variant(out: &mut String, api: &str, key: i16) {
    let _ = writeln!(out, "/// API {key}.\n{api} = {key},");
}

fn write_facts(out: &mut String, request: &Message, api: &str) {
    let flexible = if request.flexible.is_empty() { i16::MAX } else { request.flexible.min };
    let _ = writeln!(
        out,
        "ApiKey::{api} => &Facts {{ name: \"{api}\", versions: VersionRange {{ min: {}, max: {} }}, \
         flexible_from: {flexible}, on_broker: {}, on_controller: {}, latest_unstable: {} }},",
        request.versions.min,
        request.versions.max,
        request.on_broker,
        request.on_controller,
        request.latest_unstable
    );
}
