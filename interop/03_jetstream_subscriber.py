"""Fetches what sample_stream holds through the durable pull consumer sample_durable, and acks it.

COUNT (default 10) messages, then it leaves; the next run goes on where this one stopped.
"""

import asyncio
import os

import nats


async def main():
    count = int(os.environ.get("COUNT", "10"))
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS JetStream example subscriber",
    )
    js = nc.jetstream()

    sub = await js.pull_subscribe("foo", durable="sample_durable", stream="sample_stream")
    received = 0
    while received < count:
        try:
            msgs = await sub.fetch(min(5, count - received), timeout=2)
        except nats.errors.TimeoutError:
            print("nothing yet", flush=True)
            continue
        for msg in msgs:
            received += 1
            meta = msg.metadata
            print(
                f"received {msg.data.decode()!r}: seq={meta.sequence.stream}, "
                f"delivered={meta.num_delivered}, pending={meta.num_pending}",
                flush=True,
            )
            await msg.ack_sync()

    info = await sub.consumer_info()
    print(f"ack floor {info.ack_floor.stream_seq}, to go {info.num_pending}", flush=True)
    await nc.close()
    print("done", flush=True)


asyncio.run(main())
