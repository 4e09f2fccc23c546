"""Connects with a credentials file and prints ten messages of foo."""

import asyncio
import os

import nats


async def main():
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS credentials example subscriber",
        user_credentials=os.environ["NATS_CREDS"],
    )

    sub = await nc.subscribe("foo")
    await nc.flush()
    print("listening on foo", flush=True)

    for _ in range(10):
        msg = await sub.next_msg(timeout=20)
        print(f"received {msg.data.decode()!r}", flush=True)

    await nc.drain()
    print("done", flush=True)


asyncio.run(main())
