"""Every acknowledged record at its offset, in order: BOOTSTRAP TOPIC IDEMPOTENT FILE."""

import sys

from expectations import consume_partitions, expect, fail

bootstrap, topic, idempotent, path = sys.argv[1:]
PARTITIONS = 3

found = {}
last = [-1] * PARTITIONS
duplicates = 0


def each(message):
    global duplicates
    number, partition = int(message.value().split()[0]), message.partition()
    expect(f"key at {partition}/{message.offset()}", message.key(), b"%d" % number)
    expect(f"partition of number {number}", partition, number % PARTITIONS)
    found[partition, message.offset()] = number
    expected = last[partition] + PARTITIONS if last[partition] >= 0 else partition
    if number > expected:
        fail(f"number {expected} at {partition}/{message.offset()}, after {last[partition]}", number)
    if number < expected:
        duplicates += 1
        if idempotent == "true":
            fail(f"number {expected} at {partition}/{message.offset()}, not one again", number)
    last[partition] = max(last[partition], number)


consume_partitions(bootstrap, topic, PARTITIONS, each)
acknowledged = 0
for line in open(path):
    partition, offset, number = map(int, line.split())
    # A batch that is known already is acknowledged without an offset.
    if offset >= 0:
        expect(f"number at {partition}/{offset}, acknowledged", found.get((partition, offset)), number)
    if number > last[partition]:
        fail(f"number {number} of partition {partition}, acknowledged", "it is missing")
    acknowledged += 1
print(f"{acknowledged} acknowledged, {len(found)} found, {duplicates} of them again")
