"""Adds to what is in a folder: BOOTSTRAP. Records in every partition, a commit, a setting, a topic."""

import sys

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from expectations import expect, reconnecting

bootstrap = sys.argv[1]
admin = AdminClient(reconnecting(bootstrap))
producer = Producer(reconnecting(bootstrap) | {"enable.idempotence": True})
errors = []


def delivered(error, _):
    if error:
        errors.append(str(error))


for name, topic in admin.list_topics(timeout=30).topics.items():
    if name.startswith("__"):
        continue
    for partition in topic.partitions:
        for i in range(10):
            key, value, time = b"key %d" % i, b"later %d" % i, 1_791_000_000_000 + i
            producer.produce(name, value, key, partition, delivered, timestamp=time, headers=[("later", b"yes")])
expect("records not delivered", producer.flush(60), 0)
expect("errors", errors, [])
change = ConfigEntry("retention.bytes", "123456789", incremental_operation=AlterConfigOpType.SET)
resource = ConfigResource(ResourceType.TOPIC, "codecs", incremental_configs=[change])
calls = [
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("first", [TopicPartition("codecs", 0, 99)])]),
    admin.incremental_alter_configs([resource]),
    admin.create_topics([NewTopic("later", 2, 1)]),
    admin.delete_topics(["dotted.name_and-more"]),
]
for call in calls:
    for future in call.values():
        future.result(30)
