"""A group of three of which one is killed: BOOTSTRAP TOPIC GROUP COUNT. (A member: member BOOTSTRAP TOPIC GROUP.)"""

import json
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from expectations import expect, fail, reconnecting, wait

PARTITIONS = 6


def member(bootstrap, topic, group):
    """Prints every record's partition and offset, then commits them."""
    settings = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "auto.offset.reset": "earliest"}
    consumer = Consumer(reconnecting(bootstrap, group_id=group, enable_auto_commit=False) | settings)
    consumer.subscribe([topic])
    while True:
        messages = consumer.consume(50, timeout=0.2)
        for message in messages:
            if message.error():
                print(json.dumps({"error": str(message.error())}), flush=True)
                continue
            print(json.dumps([message.partition(), message.offset()]))
        sys.stdout.flush()
        if messages:
            try:
                consumer.commit(asynchronous=False)
            except Exception as error:
                # A commit during a rebalance is refused; the records come again.
                print(json.dumps({"commit": str(error)}), flush=True)
        time.sleep(0.05)


class Member:
    """A member in a process of its own, and what it has consumed."""

    def __init__(self, bootstrap, topic, group):
        args = [sys.executable, "-u", __file__, "member", bootstrap, topic, group]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.records = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if isinstance(event, list):
                self.records.append(tuple(event))
            else:
                print(line, end="", file=sys.stderr)


def produce(bootstrap, topic, count):
    producer = Producer(reconnecting(bootstrap))
    for i in range(count):
        producer.produce(topic, b"%d" % i, partition=i % PARTITIONS)
    expect("records not delivered", producer.flush(30), 0)


def committed(admin, topic, group):
    request = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(PARTITIONS)])]
    result = admin.list_consumer_group_offsets(request)[group].result(30)
    return [partition.offset for partition in result.topic_partitions]


def main(bootstrap, topic, group, count):
    admin = AdminClient(reconnecting(bootstrap))
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    members = [Member(bootstrap, topic, group) for _ in range(3)]

    def states():
        description = admin.describe_consumer_groups([group])[group].result(30)
        return [len(one.assignment.topic_partitions) for one in description.members]

    wait("two partitions for each of three members", lambda: states() == [2, 2, 2])
    produce(bootstrap, topic, count)
    consumed = lambda: set().union(*(one.records for one in members))
    wait("a third of the records consumed by all three", lambda: len(consumed()) > count // 3 and all(one.records for one in members))
    members[0].process.kill()
    at_kill = committed(admin, topic, group)
    produce(bootstrap, topic, count)
    everything = {(p, o) for p in range(PARTITIONS) for o in range(2 * count // PARTITIONS)}
    wait("every record consumed by the rest", lambda: everything <= consumed())
    ends = [2 * count // PARTITIONS] * PARTITIONS
    wait(f"committed offsets {ends}", lambda: committed(admin, topic, group) == ends)
    expect("records consumed that do not exist", sorted(consumed() - everything), [])
    check_no_way_back(members, at_kill)
    wait("three partitions for each of two members", lambda: states() == [3, 3])
    for one in members[1:]:
        one.process.kill()


def check_no_way_back(members, at_kill):
    """What was committed before a member died is not consumed again by those who take over."""
    for one in members[1:]:
        seen = {}
        for partition, offset in one.records:
            if partition in seen and offset <= seen[partition]:
                expect(f"offset after {seen[partition]} of partition {partition}", offset, seen[partition] + 1)
            seen[partition] = offset
    for one in members[1:]:
        mine = {}
        for partition, offset in one.records:
            mine.setdefault(partition, offset)
        for partition, first in mine.items():
            if partition in {p for p, _ in members[0].records} and first < at_kill[partition]:
                fail(f"partition {partition} taken over at or after {at_kill[partition]}", first)


if sys.argv[1] == "member":
    member(*sys.argv[2:])
else:
    main(*sys.argv[1:4], int(sys.argv[4]))
