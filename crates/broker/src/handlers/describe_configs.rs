//! DescribeConfigs v1–4: settings of topics, brokers, groups and client metrics, with where each comes from.

use std::collections::{BTreeSet, HashSet};

use klamm_config::describe::{self, Entry};
use klamm_config::{Layers, Values};
use klamm_metadata::MetadataImage;
use klamm_metadata::configs::{ConfigResource, ConfigResourceType};
use klamm_metadata::topic_name;
use klamm_protocol::messages::DescribeConfigsRequest;
use klamm_protocol::messages::describe_configs_request::DescribeConfigsResource;
use klamm_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::broker::Broker;
use crate::request::{HandlerResult, RequestContext};

/// What a resource that cannot be described is answered with.
type Refusal = (ErrorCode, String);

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: DescribeConfigsRequest<'_> = context.decode(&mut body)?;
    let image = context.broker.image();
    let layers = context.broker.layers();
    let mut seen = HashSet::new();
    let once =
        request.resources.iter().filter(|asked| seen.insert((asked.resource_type, &asked.resource_name)));
    let results = once.map(|asked| {
        let entries = entries(context.broker, &image, &layers, asked);
        result(asked, entries, request.include_synonyms, request.include_documentation)
    });
    let results = results.collect();
    context.respond(&DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() })
}

fn entries(
    broker: &Broker,
    image: &MetadataImage,
    layers: &Layers,
    asked: &DescribeConfigsResource<'_>,
) -> Result<Vec<Entry>, Refusal> {
    let name = &*asked.resource_name;
    let kind = ConfigResourceType::from_code(asked.resource_type);
    let dynamic = || dynamic_values(image, kind, name);
    match kind {
        ConfigResourceType::Topic => match image.topics.by_name(name) {
            Some(_) => Ok(describe::topic(layers, &dynamic())),
            None => Err(unknown_topic(name)),
        },
        ConfigResourceType::Broker if name.is_empty() => Ok(describe::cluster_default(layers)),
        ConfigResourceType::Broker if name.parse() == Ok(broker.node_id()) => Ok(describe::broker(layers)),
        ConfigResourceType::Broker => Err((
            ErrorCode::INVALID_REQUEST,
            format!(
                "this is broker {}; the settings of broker '{name}' must be asked of it",
                broker.node_id()
            ),
        )),
        ConfigResourceType::Group if name.is_empty() => {
            Err((ErrorCode::INVALID_REQUEST, "a group's name must not be empty".into()))
        }
        ConfigResourceType::Group => Ok(describe::group(layers, &dynamic())),
        ConfigResourceType::ClientMetrics if name.is_empty() => {
            Err((ErrorCode::INVALID_REQUEST, "a client metrics subscription's name must not be empty".into()))
        }
        ConfigResourceType::ClientMetrics => Ok(describe::client_metrics(&dynamic())),
        ConfigResourceType::BrokerLogger | ConfigResourceType::Other(_) => Err((
            ErrorCode::INVALID_REQUEST,
            format!("resources of type {} have no settings here", asked.resource_type),
        )),
    }
}

fn unknown_topic(name: &str) -> Refusal {
    match topic_name::reason_invalid(name) {
        None => (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic '{name}'")),
        Some(reason) => (ErrorCode::INVALID_TOPIC_EXCEPTION, reason),
    }
}

/// What the metadata log sets for a resource.
pub(crate) fn dynamic_values(image: &MetadataImage, kind: ConfigResourceType, name: &str) -> Values {
    let settings = image.configs.of(&ConfigResource { kind, name: name.into() });
    let settings = settings.into_iter().flat_map(|settings| settings.iter());
    settings.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn result(
    asked: &DescribeConfigsResource<'_>,
    entries: Result<Vec<Entry>, Refusal>,
    with_synonyms: bool,
    with_documentation: bool,
) -> DescribeConfigsResult<'static> {
    let described = DescribeConfigsResult {
        error_message: Some("".into()),
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.to_string().into(),
        ..DescribeConfigsResult::default()
    };
    match entries {
        Err((error_code, message)) => {
            DescribeConfigsResult { error_code, error_message: Some(message.into()), ..described }
        }
        Ok(entries) => {
            let wanted: Option<BTreeSet<&str>> =
                asked.configuration_keys.as_ref().map(|keys| keys.iter().map(|key| &**key).collect());
            let shown = entries.iter().filter(|entry| {
                wanted.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted.contains(&*entry.name))
            });
            let configs = shown.map(|entry| config(entry, with_synonyms, with_documentation)).collect();
            DescribeConfigsResult { configs, ..described }
        }
    }
}

fn config(
    entry: &Entry,
    with_synonyms: bool,
    with_documentation: bool,
) -> DescribeConfigsResourceResult<'static> {
    let synonyms = entry.synonyms.iter().filter(|_| with_synonyms).map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.clone().into(),
        value: synonym.value.clone().map(Into::into),
        source: synonym.source.code(),
    });
    DescribeConfigsResourceResult {
        name: entry.name.clone().into(),
        value: entry.value.clone().map(Into::into),
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms.collect(),
        config_type: entry.type_code(),
        documentation: with_documentation.then(|| entry.documentation.into()),
    }
}
