"""What all scripts share: saying what was expected and what came, and settings of clients."""

import json
import sys
import time


def expect(what, came, expected):
    """Ends the script unless both are equal."""
    if came != expected:
        fail(f"{what}: {expected!r}", repr(came))


def fail(expected, came):
    print(json.dumps({"expected": str(expected)[:2000], "came": str(came)[:2000]}))
    sys.stdout.flush()
    sys.exit(1)


def wait(what, holds, seconds=90):
    """Ends the script unless it holds within this time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            fail(what, f"not within {seconds} s")
        time.sleep(0.05)


def reconnecting(bootstrap, **settings):
    """A client that comes back soon after its broker does."""
    base = {"bootstrap.servers": bootstrap, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
    return base | {name.replace("_", "."): value for name, value in settings.items()}


def bounds(consumer, partition, seconds=30):
    """First offset and end; a broker that has just started may not lead its partitions yet."""
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + seconds
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=seconds)
        except KafkaException as error:
            if time.monotonic() > deadline:
                fail(f"bounds of {partition}", error)
            time.sleep(0.1)


def consume_partitions(bootstrap, topic, partitions, each, idle_seconds=30):
    """Calls each(message) for all records there are; partition by partition in order, interleaved."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer(reconnecting(bootstrap, group_id="unused", enable_auto_commit=False) | {"enable.partition.eof": False})
    ends = {}
    for partition in range(partitions):
        low, high = bounds(consumer, TopicPartition(topic, partition))
        if high > low:
            ends[partition] = high
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
    last_seen = time.monotonic()
    while ends:
        # This call waits for so many messages or so many seconds, whatever has come by then.
        messages = consumer.consume(1000, timeout=0.05)
        if messages:
            last_seen = time.monotonic()
        elif time.monotonic() > last_seen + idle_seconds:
            fail(f"the rest of {topic} up to {ends}", f"nothing for {idle_seconds} s")
        for message in messages:
            if message.error():
                fail("a record", message.error())
            each(message)
            if message.partition() in ends and message.offset() >= ends[message.partition()] - 1:
                del ends[message.partition()]
    consumer.close()
