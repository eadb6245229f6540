//! Administration: topics come and go, settings change, records are deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm_client::{
    AdminError, AlterConfig, ConfigChange, ConfigResource, Consumer, ConsumerConfig, NewTopic,
};

use super::{PARTITIONS, TOPICS, Workload, common, producers};
use crate::shape::Shape;

/// How often, and how far apart, it is asked whether all replicas are in sync: a minute in all.
const SYNC_ATTEMPTS: u32 = 120;
const SYNC_PAUSE: Duration = Duration::from_millis(500);

/// The admin client of the workload. It is a consumer's, which keeps it alive.
pub(crate) struct Admin {
    admin: klamm_client::Admin,
    _consumer: Consumer,
}

impl Admin {
    /// A client of its own.
    pub(crate) fn open(workload: &Workload) -> Option<Self> {
        let name = workload.name("admin");
        let settings = common(workload, &name);
        let config =
            ConsumerConfig::from_properties(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let opened = config.and_then(|config| Consumer::with_network(config, workload.network(&name)));
        let consumer = opened.map_err(|error| workload.trace.violation(error)).ok()?;
        Some(Self { admin: consumer.admin(), _consumer: consumer })
    }
}

impl Admin {
    /// The client.
    pub(super) fn client(&self) -> &klamm_client::Admin {
        &self.admin
    }
}

/// Makes the topics that live as long as the run.
///
/// # Errors
/// Why they were not made.
pub(crate) async fn create_topics(workload: &Workload) -> Result<(), String> {
    let admin = Admin::open(workload).ok_or("no client")?;
    let segment_bytes = workload.dice.pick(&["2000", "10000", "1000000"]).to_string();
    let index_bytes = workload.dice.pick(&["0", "300", "4096"]).to_string();
    let configs = BTreeMap::from([
        ("internal.segment.bytes".to_owned(), segment_bytes),
        ("index.interval.bytes".to_owned(), index_bytes),
        ("retention.ms".to_owned(), "-1".to_owned()),
        ("file.delete.delay.ms".to_owned(), "1000".to_owned()),
    ]);
    let topic = |name: &&str| NewTopic {
        partitions: Some(PARTITIONS),
        replication_factor: Some(workload.shape.replicas() as i16),
        configs: configs.clone(),
        ..NewTopic::new(*name)
    };
    let topics: Vec<_> = TOPICS.iter().map(topic).collect();
    let created = admin.admin.create_topics(&topics, false).await.map_err(|error| error.to_string())?;
    created.into_iter().try_for_each(|(_, outcome)| outcome.map(drop).map_err(|refusal| refusal.to_string()))
}

/// Waits until every replica is in sync, and holds all that its leader does.
///
/// The ISR alone does not say so: it keeps a replica that has stood still for as long as the leader's proposals hang. A record that
/// everybody in the ISR has must therefore come after all others, and the ISR be whole before it and after it.
///
/// # Errors
/// Which partition still has replicas that are not after a minute in which nothing goes wrong.
pub(crate) async fn wait_for_sync(workload: &Workload) -> Result<(), String> {
    let admin = Admin::open(workload).ok_or("no client")?;
    let mut last = String::new();
    for _ in 0..SYNC_ATTEMPTS {
        match all_hold_all(workload, &admin.admin).await {
            Ok(()) => return Ok(()),
            Err(behind) => last = behind,
        }
        tokio::time::sleep(SYNC_PAUSE).await;
    }
    Err(format!("not in sync, long after the last misfortune: {last}"))
}

async fn all_hold_all(workload: &Workload, admin: &klamm_client::Admin) -> Result<(), String> {
    whole_isr(admin).await?;
    producers::one_to_each(workload).await?;
    whole_isr(admin).await
}

async fn whole_isr(admin: &klamm_client::Admin) -> Result<(), String> {
    let behind = what_is_behind(admin).await.map_err(|error| error.to_string())?;
    behind.map_or(Ok(()), Err)
}

/// A partition that has replicas which are not in sync, or which moves.
async fn what_is_behind(admin: &klamm_client::Admin) -> Result<Option<String>, AdminError> {
    let described = admin.describe_partitions(TOPICS).await?;
    let behind = described.iter().find(|it| it.isr.len() < it.replicas.len() || it.leader.is_none());
    if let Some(behind) = behind {
        return Ok(Some(format!("{behind:?}")));
    }
    let moving = admin.list_partition_reassignments(None).await?;
    Ok(moving.into_iter().next().map(|moving| format!("{moving:?}")))
}

/// Administers until the workload stops.
pub(super) async fn run(workload: Workload) {
    let Some(admin) = Admin::open(&workload) else { return };
    while !workload.is_stopping() {
        workload.pause(3000).await;
        match workload.dice.below(3) {
            0 => delete_records(&workload, &admin).await,
            1 => alter_settings(&workload, &admin).await,
            _ => come_and_go(&workload, &admin).await,
        }
    }
}

async fn delete_records(workload: &Workload, admin: &Admin) {
    let partition = workload.some_partition();
    let Some(before) = workload.checks.some_offset(&partition, workload.dice.next()) else { return };
    let life = workload.checks.life();
    workload.checks.delete_requested(&partition, before);
    let deleted = admin.admin.delete_records(&BTreeMap::from([(partition.clone(), Some(before))])).await;
    let low = deleted.ok().and_then(|outcomes| outcomes.into_iter().next()?.1.ok());
    workload.trace.note(format_args!("records of {partition} below {before} are deleted: {low:?}"));
    // A replica that is cut off keeps them, and whoever takes it for the leader may read them: the answer waits for those that live.
    if let Some(low) = low.filter(|_| workload.shape == Shape::One) {
        workload.checks.deleted(&partition, low, life);
    }
}

async fn alter_settings(workload: &Workload, admin: &Admin) {
    let topic = *workload.dice.pick(&TOPICS);
    let choices =
        [("internal.segment.bytes", "3000"), ("index.interval.bytes", "1"), ("compression.type", "lz4")];
    let (name, value) = *workload.dice.pick(&choices);
    let change = AlterConfig { name: name.to_owned(), change: ConfigChange::Set(value.to_owned()) };
    let altered = admin.admin.alter_configs(&[(ConfigResource::topic(topic), vec![change])], false).await;
    workload.trace.note(format_args!("{topic} gets {name}={value}: {}", altered.is_ok()));
}

/// A topic that is made, and deleted a while later.
async fn come_and_go(workload: &Workload, admin: &Admin) {
    let name = workload.name("passing");
    let created =
        admin.admin.create_topics(&[NewTopic { partitions: Some(1), ..NewTopic::new(&name) }], false).await;
    workload.trace.note(format_args!("{name} is made: {}", created.is_ok()));
    workload.pause(1000).await;
    let deleted = admin.admin.delete_topics([&name]).await;
    workload.trace.note(format_args!("{name} is deleted: {}", deleted.is_ok()));
}
