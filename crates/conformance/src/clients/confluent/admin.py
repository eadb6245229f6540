"""Calls of the admin client, each with what it must answer: BOOTSTRAP TOPIC GROUP."""

import sys

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from expectations import expect, fail, reconnecting, wait

bootstrap, topic, group = sys.argv[1:]
admin = AdminClient(reconnecting(bootstrap))


def result(futures, key=None):
    return (futures[key] if key is not None else next(iter(futures.values()))).result(30)


def refused(what, code, call):
    try:
        came = call()
    except KafkaException as error:
        came = error.args[0].name()
    expect(what, came, code)


def topics():
    result(admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "1000000"})]))
    refused("creating it again", "TOPIC_ALREADY_EXISTS", lambda: result(admin.create_topics([NewTopic(topic, 2, 1)])))
    refused(
        "three replicas on one broker",
        "INVALID_REPLICATION_FACTOR",
        lambda: result(admin.create_topics([NewTopic(topic + "-b", 1, 3)])),
    )
    result(admin.create_topics([NewTopic(topic + "-dry", 1, 1)], validate_only=True))
    expect("a topic only validated", topic + "-dry" in admin.list_topics(timeout=30).topics, False)
    result(admin.create_partitions([NewPartitions(topic, 4)]))
    partitions = lambda: result(admin.describe_topics(TopicCollection([topic])), topic).partitions
    wait("partitions 0 to 3", lambda: [partition.id for partition in partitions()] == [0, 1, 2, 3], seconds=10)
    expect("leaders", {partition.leader.id for partition in partitions()}, {1})
    refused("fewer partitions", "INVALID_PARTITIONS", lambda: result(admin.create_partitions([NewPartitions(topic, 1)])))


def cluster():
    cluster = admin.describe_cluster().result(30)
    expect("nodes", [f"{node.host}:{node.port}" for node in cluster.nodes], [bootstrap])
    expect("controller", cluster.controller.id, 1)
    if not cluster.cluster_id:
        fail("a cluster id", cluster.cluster_id)


def setting(resource, name):
    return result(admin.describe_configs([resource]))[name]


def shows(resource, name, value, is_default):
    """A change is answered before the broker itself has seen it."""
    is_shown = lambda entry: (entry.value, entry.is_default) == (value, is_default)
    wait(f"{name}={value}", lambda: is_shown(setting(resource, name)), seconds=10)


def configs():
    resource = ConfigResource(ResourceType.TOPIC, topic)
    expect("retention.ms", setting(resource, "retention.ms").value, "1000000")
    change = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    result(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])]))
    shows(resource, "max.message.bytes", "2000", False)
    producer = Producer(reconnecting(bootstrap))
    errors = []
    producer.produce(topic, b"x" * 5000, partition=0, on_delivery=lambda error, _: errors.append(error and error.name()))
    producer.flush(30)
    expect("a record too large for the topic", errors, ["MSG_SIZE_TOO_LARGE"])
    change = ConfigEntry("max.message.bytes", None, incremental_operation=AlterConfigOpType.DELETE)
    result(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])]))
    shows(resource, "max.message.bytes", "1048588", True)
    broker = result(admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]))
    expect("node.id", (broker["node.id"].value, broker["node.id"].is_read_only), ("1", True))


def offsets():
    producer = Producer(reconnecting(bootstrap))
    for i in range(10):
        producer.produce(topic, b"%d" % i, partition=0, timestamp=1_700_000_000_000 + i % 7)
    expect("records not delivered", producer.flush(30), 0)
    partition = TopicPartition(topic, 0)

    def at(spec):
        return result(admin.list_offsets({partition: spec})).offset

    expect("earliest", at(OffsetSpec.earliest()), 0)
    expect("latest", at(OffsetSpec.latest()), 10)
    expect("greatest time", at(OffsetSpec.max_timestamp()), 6)
    expect("by time", at(OffsetSpec.for_timestamp(1_700_000_000_003)), 3)
    deleted = result(admin.delete_records([TopicPartition(topic, 0, 4)]))
    expect("low watermark", deleted.low_watermark, 4)
    expect("earliest after deleting", at(OffsetSpec.earliest()), 4)


def groups():
    wanted = [TopicPartition(topic, 0, 7), TopicPartition(topic, 1, 0)]
    result(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)]))
    came = result(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    expect("offsets", sorted((p.partition, p.offset) for p in came.topic_partitions), [(0, 7), (1, 0)])
    listed = admin.list_consumer_groups().result(30)
    expect("listed", [g.state.name for g in listed.valid if g.group_id == group], ["EMPTY"])
    described = result(admin.describe_consumer_groups([group]), group)
    expect("described", (described.state.name, described.members), ("EMPTY", []))
    result(admin.delete_consumer_groups([group]))
    listed = admin.list_consumer_groups().result(30)
    expect("listed after deleting", [g for g in listed.valid if g.group_id == group], [])
    refused(
        "deleting it again", "GROUP_ID_NOT_FOUND", lambda: result(admin.delete_consumer_groups([group]))
    )


def deletion():
    result(admin.delete_topics([topic]))
    wait("the deleted topic to be gone", lambda: topic not in admin.list_topics(timeout=30).topics)
    refused("deleting it again", "UNKNOWN_TOPIC_OR_PART", lambda: result(admin.delete_topics([topic])))


for step in [topics, cluster, configs, offsets, groups, deletion]:
    step()
