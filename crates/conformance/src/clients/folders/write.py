"""Fills a broker with all that a folder can hold: BOOTSTRAP."""

import sys

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from expectations import expect, reconnecting

bootstrap = sys.argv[1]
admin = AdminClient(reconnecting(bootstrap))
TIME = 1_790_000_000_000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPICS = {
    "codecs": (len(CODECS), {"retention.ms": "-1"}),
    "segments": (1, {"segment.bytes": "1048576", "retention.ms": "-1", "compression.type": "producer"}),
    "indexed": (1, {"index.interval.bytes": "512", "retention.ms": "-1"}),
    "appended": (1, {"message.timestamp.type": "LogAppendTime"}),
    "compacted": (2, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0"}),
    "recompressed": (1, {"compression.type": "zstd", "retention.ms": "-1"}),
    "shortened": (1, {"retention.ms": "-1"}),
    "idempotent": (3, {"retention.ms": "-1", "max.message.bytes": "2000000"}),
    "empty": (2, {"retention.ms": "-1"}),
    "dotted.name_and-more": (1, {"retention.ms": "-1"}),
}


def produce(topic, partition, records, **settings):
    """Each record is key, value, headers, time."""
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer(reconnecting(bootstrap) | {"linger.ms": 5} | settings)
    errors = []

    def delivered(error, _):
        if error:
            errors.append(str(error))

    for key, value, headers, time in records:
        producer.produce(topic, value, key, partition, delivered, timestamp=time, headers=headers)
        producer.poll(0)
    expect(f"records of {topic} not delivered", producer.flush(60), 0)
    expect(f"errors of {topic}", errors, [])


def ordinary(count, size=20):
    return [(b"key %d" % i, (b"value %d " % i) * size, [("n", b"%d" % i)], TIME + i * 1000) for i in range(count)]


def peculiar():
    return [
        (None, None, [], TIME),
        (b"", b"", [("", b"")], TIME + 1),
        (b"k", None, [("null", None), ("twice", b"1"), ("twice", b"2")], TIME + 2),
        (None, b"\x00\xff" * 500, [("\u00fc", b"\xff")], TIME - 5_000_000),
        (b"big", bytes(i % 251 for i in range(300_000)), [], TIME + 3),
        (b"many headers", b"v", [("h%d" % i, b"x" * i) for i in range(200)], TIME + 4),
    ]


created = admin.create_topics([NewTopic(name, count, 1, config=config) for name, (count, config) in TOPICS.items()])
for future in created.values():
    future.result(30)
for partition, codec in enumerate(CODECS):
    produce("codecs", partition, ordinary(200) + peculiar(), compression_type=codec)
    produce("codecs", partition, ordinary(50), compression_type=codec, acks=1)
produce("segments", 0, ordinary(4000, 90), batch_size=16384)
produce("indexed", 0, ordinary(2000), batch_num_messages=5)
produce("appended", 0, ordinary(100))
for partition in range(2):
    keyed = [(b"key %d" % (i % 10), None if i % 7 == 0 else b"%d" % i, [], TIME + i) for i in range(100)]
    produce("compacted", partition, keyed)
produce("recompressed", 0, ordinary(300), compression_type="gzip")
produce("shortened", 0, ordinary(100))
for partition in range(3):
    produce("idempotent", partition, ordinary(500), enable_idempotence="true", compression_type="lz4")
produce("dotted.name_and-more", 0, ordinary(3))
for future in admin.delete_records([TopicPartition("shortened", 0, 40)]).values():
    future.result(30)
for group, offset in [("first", 10), ("second group", 0)]:
    partitions = [TopicPartition("codecs", p, offset + p) for p in range(len(CODECS))]
    partitions.append(TopicPartition("shortened", 0, 77, metadata="a note"))
    for future in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)]).values():
        future.result(30)
