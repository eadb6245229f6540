"""Prints all that a client can see of a broker as one line of JSON: BOOTSTRAP."""

import base64
import hashlib
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType
from expectations import bounds, consume_partitions, reconnecting

bootstrap = sys.argv[1]
admin = AdminClient(reconnecting(bootstrap))
consumer = Consumer(reconnecting(bootstrap, group_id="unused", enable_auto_commit=False))
TIMES = [0, 1_789_996_000_000, 1_790_000_000_000, 1_790_000_000_001, 1_790_000_100_500, 1_790_003_999_000, 1_791_000_000_005]


def blob(data):
    """Long ones by their digest."""
    if data is None:
        return None
    return base64.b64encode(data).decode() if len(data) < 100 else hashlib.sha256(data).hexdigest()


def records(topic, partitions):
    found = [[] for _ in range(partitions)]

    def each(message):
        headers = [[name, blob(value)] for name, value in message.headers() or []]
        record = [message.offset(), message.timestamp(), blob(message.key()), blob(message.value()), headers]
        found[message.partition()].append(record)

    consume_partitions(bootstrap, topic, partitions, each)
    return found


def offsets_at(topic, partitions):
    at = {}
    for when in TIMES:
        asked = [TopicPartition(topic, partition, when) for partition in range(partitions)]
        at[when] = [answer.offset for answer in consumer.offsets_for_times(asked, timeout=30)]
    return at


def settings(topic):
    entries = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])
    entries = next(iter(entries.values())).result(30)
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in sorted(entries.items()) if entry.source == own}


def topics():
    found = {}
    names = sorted(name for name in admin.list_topics(timeout=30).topics if not name.startswith("__"))
    for name in names:
        description = admin.describe_topics(TopicCollection([name]))[name].result(30)
        partitions = len(description.partitions)
        found[name] = {
            "id": str(description.topic_id),
            "bounds": [bounds(consumer, TopicPartition(name, p)) for p in range(partitions)],
            "records": records(name, partitions),
            "offsets at": offsets_at(name, partitions),
            "settings": settings(name),
        }
    return found


def groups():
    found = {}
    for group in sorted(group.group_id for group in admin.list_consumer_groups().result(30).valid):
        result = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
        offsets = [[p.topic, p.partition, p.offset, p.metadata] for p in result.topic_partitions]
        found[group] = sorted(offsets, key=lambda offset: offset[:2])
    return found


cluster = admin.describe_cluster().result(30).cluster_id
# A deletion answered just before a stop may still be under way.
deadline = time.monotonic() + 10
while "dotted.name_and-more" in admin.list_topics(timeout=30).topics and "later" in admin.list_topics(timeout=30).topics:
    if time.monotonic() > deadline:
        break
    time.sleep(0.1)
print(json.dumps({"cluster": cluster, "topics": topics(), "groups": groups()}))
