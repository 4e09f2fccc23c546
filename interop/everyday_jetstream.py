"""JetStream as nats-py uses it every day: streams, publish, pull, push, ordered, buckets, objects."""

import asyncio
import io
from functools import partial

import nats
from everyday import URL, refused, show
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    ObjectMeta,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)


async def streams(js):
    config = StreamConfig(
        name="ORDERS",
        description="all of them",
        subjects=["orders.>"],
        max_msgs=1000,
        max_bytes=1_000_000,
        max_age=3600,
        max_msg_size=10_000,
        max_msgs_per_subject=100,
        duplicate_window=60,
        storage=StorageType.FILE,
        allow_rollup_hdrs=True,
        allow_direct=True,
        metadata={"team": "a"},
    )
    info = await js.add_stream(config)
    show("stream", {key: item for key, item in info.config.as_dict().items() if key != "metadata"})
    show("metadata", info.config.metadata["team"])
    show("state", info.state)
    show("created again", (await js.add_stream(config)).config.name)
    await refused("other limits", js.add_stream(config, max_msgs=5))
    await refused("subjects overlap", js.add_stream(name="MORE", subjects=["orders.new"]))
    await refused("no such stream", js.stream_info("NOTHING"))
    await refused("bad name", js.add_stream(name="a.b", subjects=["x"]))
    await refused("bad update", js.update_stream(config, storage=StorageType.MEMORY))
    show("updated", (await js.update_stream(config, max_msgs=2000)).config.max_msgs)
    show("found by subject", await js.find_stream_name_by_subject("orders.new"))
    await refused("not found by subject", js.find_stream_name_by_subject("other"))

    for n in range(5):
        show("ack", await js.publish(f"orders.{n % 2}", str(n).encode(), headers={"Nats-Msg-Id": str(n)}))
    show("duplicate", await js.publish("orders.0", b"0", headers={"Nats-Msg-Id": "0"}))
    await refused("wrong stream", js.publish("orders.0", b"", stream="OTHER"))
    expected = {"Nats-Expected-Last-Sequence": "9"}
    await refused("wrong sequence", js.publish("orders.0", b"", headers=expected))
    await refused("too large", js.publish("orders.0", b"x" * 10_001))
    await refused("no stream there", js.publish("elsewhere", b""))
    futures = [await js.publish_async("orders.async", str(n).encode()) for n in range(10)]
    await js.publish_async_completed()
    show("asynchronous", sorted([ack.seq for ack in await asyncio.gather(*futures)]))

    show("by sequence", await js.get_msg("ORDERS", seq=2))
    show("next of a subject", await js.get_msg("ORDERS", seq=2, subject="orders.0", next=True))
    show("last", (await js.get_last_msg("ORDERS", "orders.1")).data)
    show("direct", (await js.get_msg("ORDERS", subject="orders.1", direct=True)).data)
    show("deleted", await js.delete_msg("ORDERS", 2))
    await refused("gone", js.get_msg("ORDERS", seq=2))
    info = await js.stream_info("ORDERS", subjects_filter="orders.*")
    show("subjects", info.state.subjects)
    show("after a deletion", info.state)
    show("purged", await js.purge_stream("ORDERS", subject="orders.async", keep=1))
    show("names", [info.config.name for info in await js.streams_info()])

    await js.add_stream(
        name="MAPPED",
        subjects=["in.*"],
        subject_transform=SubjectTransform(src="in.*", dest="out.{{wildcard(1)}}"),
        republish=RePublish(src="out.*", dest="seen.{{wildcard(1)}}"),
        storage=StorageType.MEMORY,
    )
    seen = await js._nc.subscribe("seen.>")
    await js.publish("in.x", b"y")
    msg = await seen.next_msg(timeout=5)
    show("republished", [msg.subject, msg.data, msg.headers["Nats-Sequence"], msg.headers["Nats-Subject"]])
    show("transformed", (await js.get_msg("MAPPED", seq=1)).subject)
    show("removed", await js.delete_stream("MAPPED"))
    await refused("removed before", js.delete_stream("MAPPED"))

    await js.add_stream(name="FULL", subjects=["full"], max_msgs=2, discard=DiscardPolicy.NEW)
    for _ in range(2):
        await js.publish("full", b"")
    await refused("full", js.publish("full", b""))
    await js.delete_stream("FULL")


async def pull(js):
    await js.add_stream(name="TASKS", subjects=["tasks.>"], retention=RetentionPolicy.WORK_QUEUE)
    for n in range(10):
        await js.publish(f"tasks.{n}", str(n).encode())
    sub = await js.pull_subscribe("tasks.>", durable="worker", stream="TASKS")
    show("consumer", await sub.consumer_info())
    batch = await sub.fetch(4, timeout=5)
    for msg in batch:
        meta = msg.metadata
        show("task", [msg.subject, msg.data, meta.sequence.stream, meta.sequence.consumer, meta.num_pending])
    await batch[0].ack_sync(timeout=5)
    await batch[1].nak()
    await batch[2].in_progress()
    await batch[3].term()
    await batch[2].ack_sync(timeout=5)
    # The message that was refused comes again, first or last.
    rest = []
    while len(rest) < 7:
        rest += await sub.fetch(7 - len(rest), timeout=5)
    show("rest", sorted([msg.data, msg.metadata.num_delivered] for msg in rest))
    show("left", (await js.stream_info("TASKS")).state.messages)
    for msg in rest:
        await msg.ack_sync(timeout=5)
    show("left", (await js.stream_info("TASKS")).state.messages)
    show("settled", await js.consumer_info("TASKS", "worker"))
    await refused("nothing left", sub.fetch(1, timeout=0.3))
    other = ConsumerConfig(durable_name="other", filter_subject="tasks.1")
    await refused("work queues have one", js.add_consumer("TASKS", other))
    show("consumers", [info.name for info in await js.consumers_info("TASKS")])
    show("deleted", await js.delete_consumer("TASKS", "worker"))
    await refused("deleted before", js.consumer_info("TASKS", "worker"))
    await js.delete_stream("TASKS")


async def push(js):
    await js.add_stream(name="EVENTS", subjects=["events.>"])
    for n in range(20):
        await js.publish(f"events.{n % 2}", str(n).encode())
    got, done = [], asyncio.Event()

    async def each(msg):
        got.append(msg.data)
        await msg.ack()
        if len(got) == 10:
            done.set()

    sub = await js.subscribe("events.1", durable="pushed", cb=each, manual_ack=True)
    await done.wait()
    show("pushed", got)
    info = await sub.consumer_info()
    show("bound", [info.push_bound, info.config.deliver_subject is not None, info.num_pending])
    await sub.unsubscribe()

    counts = {"a": 0, "b": 0}
    both = asyncio.Event()

    async def count(name, msg):
        counts[name] += 1
        await msg.ack()
        if sum(counts.values()) == 20:
            both.set()

    for name in counts:
        await js.subscribe("events.>", queue="team", stream="EVENTS", cb=partial(count, name))
    await both.wait()
    show("queue", sum(counts.values()))

    ordered = await js.subscribe("events.>", ordered_consumer=True)
    show("ordered", [(await ordered.next_msg(timeout=5)).data for _ in range(20)])
    # A new one takes over where the other is lost.
    info = await ordered.consumer_info()
    await js.delete_consumer("EVENTS", info.name)
    await ordered.unsubscribe()
    last = await js.subscribe("events.>", deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
    show("last of each", sorted([(await last.next_msg(timeout=5)).data for _ in range(2)]))
    heads = await js.subscribe("events.0", headers_only=True, deliver_policy=DeliverPolicy.LAST)
    msg = await heads.next_msg(timeout=5)
    show("headers only", [msg.data, msg.headers])


async def consumers(js):
    config = ConsumerConfig(
        durable_name="managed",
        description="by hand",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=5,
        max_deliver=3,
        backoff=[1, 2, 3],
        filter_subjects=["events.0", "events.2"],
        max_ack_pending=7,
        max_waiting=8,
        sample_freq="50",
        metadata={"k": "v"},
    )
    info = await js.add_consumer("EVENTS", config)
    show("managed", {key: item for key, item in info.config.as_dict().items() if key != "metadata"})
    show("managed state", [info.num_pending, info.num_waiting, info.delivered, info.ack_floor])
    info = await js.add_consumer("EVENTS", config, description="new", max_deliver=4)
    show("changed", [info.config.description, info.config.max_deliver])
    await refused("cannot change", js.add_consumer("EVENTS", config, deliver_policy=DeliverPolicy.NEW))
    bad = ConsumerConfig(durable_name="bad", filter_subject="elsewhere")
    await refused("filter elsewhere", js.add_consumer("EVENTS", bad))
    await refused("no such stream", js.add_consumer("NOTHING", ConsumerConfig(durable_name="x")))
    paused = await js.pause_consumer("EVENTS", "managed", "2099-01-01T00:00:00Z")
    show("paused", paused.paused)
    show("resumed", (await js.resume_consumer("EVENTS", "managed")).paused)
    show("removed", await js.delete_consumer("EVENTS", "managed"))
    await refused("reset of nothing", js.reset_consumer("EVENTS", "managed"))


async def buckets(js):
    kv = await js.create_key_value(KeyValueConfig(bucket="settings", history=3, description="of all"))
    show("put", [await kv.put("colour", value) for value in (b"red", b"green", b"blue", b"white")])
    entry = await kv.get("colour")
    show("get", [entry.value, entry.revision, entry.operation])
    show("old", (await kv.get("colour", revision=2)).value)
    show("history", [(one.revision, one.value) for one in await kv.history("colour")])
    show("create", await kv.create("size", b"9"))
    await refused("create again", kv.create("size", b"9"))
    await refused("update", kv.update("size", b"10", last=1))
    show("update", await kv.update("size", b"10", last=5))
    await kv.put("a.b", b"")
    show("keys", sorted(await kv.keys()))
    show("some keys", sorted(await kv.keys(filters=["a."])))
    await kv.delete("size")
    await refused("deleted", kv.get("size"))
    show("create after a deletion", await kv.create("size", b"11"))
    await kv.purge("colour")
    await refused("purged", kv.get("colour"))
    await refused("bad key", kv.put("a b", b""))
    watcher = await kv.watchall()
    seen = []
    while (entry := await watcher.updates(timeout=5)) is not None:
        seen.append([entry.key, entry.operation, entry.revision])
    show("watched", sorted(seen))
    await kv.put("late", b"1")
    entry = await watcher.updates(timeout=5)
    show("watched later", [entry.key, entry.value])
    await watcher.stop()
    await kv.purge_deletes(olderthan=-1)
    show("status", [(await kv.status()).values, (await kv.status()).history, (await kv.status()).ttl])
    await refused("no bucket", js.key_value("nothing"))
    await refused("bad bucket", js.create_key_value(bucket="a b"))
    show("removed", await js.delete_key_value("settings"))


async def objects(js):
    store = await js.create_object_store("files", description="of all")
    body = bytes(range(256)) * 2000
    info = await store.put("big", body, meta=ObjectMeta(description="much", headers={"A": ["1"]}))
    show("put", info)
    got = await store.get("big")
    show("same", got.data == body)
    into = io.BytesIO()
    await store.get("big", writeinto=into)
    show("into a file", into.getvalue() == body)
    await store.put("big", b"small now")
    show("replaced", (await store.get("big")).data)
    await store.put("other", io.BytesIO(b"from a file"))
    show("list", sorted([one.name for one in await store.list()]))
    await store.update_meta("other", ObjectMeta(name="other", description="renewed"))
    show("renewed", (await store.get_info("other")).description)
    show("chunks", (await js.stream_info("OBJ_files")).state.messages)
    await store.delete("big")
    await refused("deleted", store.get("big"))
    show("deleted is known", (await store.get_info("big", show_deleted=True)).deleted)
    watcher = await store.watch(ignore_deletes=True)
    show("watched", (await watcher.updates(timeout=5)).name)
    await watcher.stop()
    status = await store.status()
    show("status", [status.bucket, status.description, status.sealed])
    await store.seal()
    await refused("sealed", store.put("more", b"x"))
    await refused("no store", js.object_store("nothing"))
    show("removed", await js.delete_object_store("files"))


async def main():
    async with await nats.connect(URL) as nc:
        js = nc.jetstream(timeout=5)
        info = await js.account_info()
        show("account", [info.streams, info.consumers, info.memory, info.storage, info.limits])
        for part in (streams, pull, push, consumers, buckets, objects):
            await part(js)
        info = await js.account_info()
        show("account", [info.streams, info.consumers, info.api.errors > 0])
        await refused("without a stream", nc.jetstream(prefix="$JS.none.API").account_info())
    show("done", "jetstream")


asyncio.run(main())
