"""Records there and back with one codec: BOOTSTRAP TOPIC CODEC COUNT IDEMPOTENT."""

import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from expectations import consume_partitions, expect, fail, reconnecting

bootstrap, topic, codec, count, idempotent = sys.argv[1:]
count = int(count)
PARTITIONS = 3
TIME = 1_700_000_000_000


def key(i):
    return None if i % 10 == 0 else b"key-%d" % i


def value(i):
    return None if i % 11 == 0 else (b"value %d of a text that can be compressed " % i) * (1 + i % 5)


def headers(i):
    return [("index", b"%d" % i), ("nothing", None), ("index", b"again"), ("\u00e4", b"")]


def produce():
    settings = {"compression.type": codec, "linger.ms": 20, "queue.buffering.max.messages": 200_000}
    if idempotent == "true":
        settings["enable.idempotence"] = True
    producer = Producer(reconnecting(bootstrap) | settings)
    failures = []

    def delivered(error, _):
        if error:
            failures.append(str(error))

    for i in range(count):
        while True:
            try:
                producer.produce(
                    topic, value(i), key(i), i % PARTITIONS, delivered, timestamp=TIME + i, headers=headers(i)
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    expect("records not delivered", producer.flush(60), 0)
    expect("delivery errors", failures[:5], [])


def consume():
    next_of = list(range(PARTITIONS))

    def each(message):
        i = next_of[message.partition()]
        came = (message.key(), message.value(), message.headers(), message.timestamp(), message.offset())
        # The client gives a null of either kind as None.
        expected = (key(i), value(i), headers(i), (1, TIME + i), i // PARTITIONS)
        if came != expected:
            fail(expected, came)
        next_of[message.partition()] = i + PARTITIONS

    consume_partitions(bootstrap, topic, PARTITIONS, each)
    consumed = sum((end - partition) // PARTITIONS for partition, end in enumerate(next_of))
    expect("records consumed", consumed, count)


admin = AdminClient(reconnecting(bootstrap))
admin.create_topics([NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "-1"})])[topic].result(30)
produce()
consume()
