"""Stores ten messages in the stream sample_stream. STORAGE is file (default) or memory."""

import asyncio
import os

import nats
from nats.js.api import StorageType


async def main():
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS JetStream example publisher",
    )
    js = nc.jetstream()

    stream = await js.add_stream(
        name="sample_stream",
        subjects=["foo"],
        storage=StorageType(os.environ.get("STORAGE", "file")),
    )
    print(f"stream {stream.config.name} in {stream.config.storage}", flush=True)

    for n in range(1, 11):
        ack = await js.publish("foo", f"Hello #{n} from NATS publisher".encode())
        print(f"published #{n}: stream={ack.stream}, seq={ack.seq}", flush=True)

    await nc.close()
    print("done", flush=True)


asyncio.run(main())
