"""Watches the bucket sample_kv until the key `last` arrives."""

import asyncio
import os

import nats


async def main():
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS key-value example subscriber",
    )
    js = nc.jetstream()
    kv = await js.create_key_value(bucket="sample_kv", history=5)

    watcher = await kv.watchall()
    async for entry in watcher:
        if entry is None:
            print("up to date", flush=True)
            continue
        operation = entry.operation or "PUT"
        value = (entry.value or b"").decode()
        print(f"{operation} {entry.key}={value} revision {entry.revision}", flush=True)
        if entry.key == "last":
            break

    await watcher.stop()
    await nc.close()
    print("done", flush=True)


asyncio.run(main())
