//! ListConfigResources v0–1: what has settings. v0 lists subscriptions to client metrics only.

use klamm_metadata::configs::ConfigResourceType;
use klamm_metadata::image::MetadataImage;
use klamm_protocol::messages::ListConfigResourcesRequest;
use klamm_protocol::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};
use klamm_protocol::{ErrorCode, Reader};

use crate::request::{HandlerResult, RequestContext};

/// What v0, and a request that names no type, are about.
const ALL: [ConfigResourceType; 5] = [
    ConfigResourceType::Topic,
    ConfigResourceType::Broker,
    ConfigResourceType::BrokerLogger,
    ConfigResourceType::ClientMetrics,
    ConfigResourceType::Group,
];

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ListConfigResourcesRequest = context.decode(&mut body)?;
    let kinds: Vec<ConfigResourceType> = match &request.resource_types[..] {
        _ if context.version == 0 => vec![ConfigResourceType::ClientMetrics],
        [] => ALL.to_vec(),
        codes => codes.iter().map(|code| ConfigResourceType::from_code(*code)).collect(),
    };
    if kinds.iter().any(|kind| matches!(kind, ConfigResourceType::Other(_))) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return context.respond(&ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let image = context.broker.image();
    let resources = kinds.into_iter().flat_map(|kind| {
        let names = names(&image, kind);
        names
            .into_iter()
            .map(move |name| ConfigResource { resource_name: name.into(), resource_type: kind.code() })
    });
    let config_resources = resources.collect();
    context.respond(&ListConfigResourcesResponse { config_resources, ..Default::default() })
}

fn names(image: &MetadataImage, kind: ConfigResourceType) -> Vec<String> {
    match kind {
        ConfigResourceType::Topic => image.topics.iter().map(|topic| topic.name.to_string()).collect(),
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            image.cluster.brokers().map(|broker| broker.id.to_string()).collect()
        }
        _ => {
            let configured = image.configs.iter().filter(|(resource, _)| resource.kind == kind);
            configured.map(|(resource, _)| resource.name.to_string()).collect()
        }
    }
}
