"""Numbers every record and writes down what is acknowledged, until its input ends: BOOTSTRAP TOPIC IDEMPOTENT FILE REPLICAS RATE.

RATE is in records a second, or 0 for as many as are taken. A line of FILE is partition, offset and number of an acknowledged
record.
"""

import sys
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from expectations import expect, reconnecting

bootstrap, topic, idempotent, path, replicas, rate = sys.argv[1:]
PARTITIONS = 3
OUTSTANDING_MAX = 2000

admin = AdminClient(reconnecting(bootstrap))
if topic not in admin.list_topics(timeout=30).topics:
    admin.create_topics([NewTopic(topic, PARTITIONS, int(replicas))])[topic].result(30)
order = {"enable.idempotence": True} if idempotent == "true" else {"acks": 1, "max.in.flight": 1}
producer = Producer(reconnecting(bootstrap) | order | {"linger.ms": 1, "retry.backoff.ms": 20, "compression.type": "lz4"})
acknowledged = open(path, "w", buffering=1)
errors = []
is_over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()


def delivered(error, message):
    if error:
        errors.append(str(error))
    else:
        acknowledged.write(f"{message.partition()} {message.offset()} {int(message.value().split()[0])}\n")


number = 0
start = time.monotonic()
while not is_over.is_set():
    due = int(rate) * (time.monotonic() - start) if rate != "0" else float("inf")
    while len(producer) < OUTSTANDING_MAX and number < due:
        producer.produce(topic, b"%d of a record with some length" % number, b"%d" % number, number % PARTITIONS, delivered)
        number += 1
    producer.poll(0.001)
expect("records not delivered", producer.flush(60), 0)
expect("delivery errors", errors[:5], [])
acknowledged.close()
print(number)
