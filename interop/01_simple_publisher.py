"""Publishes ten messages on foo. Start 01_simple_subscriber.py first: a core subject keeps nothing."""

import asyncio
import os

import nats


async def main():
    nc = await nats.connect(
        servers=[os.environ.get("NATS_URL", "nats://localhost:4222")],
        name="NATS simple example publisher",
        connect_timeout=10,
        ping_interval=20,
        max_outstanding_pings=6,
        allow_reconnect=True,
        dont_randomize=False,
        reconnect_time_wait=5,
        no_echo=False,
    )
    print(f"connected to {nc.connected_url.netloc}", flush=True)

    for n in range(1, 11):
        await nc.publish("foo", f"Hello #{n} from NATS publisher".encode())
        print(f"published #{n}", flush=True)
        await asyncio.sleep(0.05)

    await nc.drain()
    print("done", flush=True)


asyncio.run(main())
