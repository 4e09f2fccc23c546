"""Prints ten messages of foo, then leaves."""

import asyncio
import os

import nats


async def main():
    nc = await nats.connect(
        servers=[os.environ.get("NATS_URL", "nats://localhost:4222")],
        name="NATS simple example subscriber",
        connect_timeout=10,
        ping_interval=20,
        max_outstanding_pings=6,
        allow_reconnect=True,
        dont_randomize=False,
        reconnect_time_wait=5,
        no_echo=False,
    )
    print(f"connected to {nc.connected_url.netloc}", flush=True)

    finished = asyncio.Event()
    received = 0

    async def handler(msg):
        nonlocal received
        received += 1
        print(f"received {msg.data.decode()!r} on {msg.subject}", flush=True)
        if received == 10:
            finished.set()

    await nc.subscribe("foo", cb=handler)
    await nc.flush()
    print("listening on foo", flush=True)

    await finished.wait()
    await nc.drain()
    print("done", flush=True)


asyncio.run(main())
