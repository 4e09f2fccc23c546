"""05 on a server that asks for a token."""

import asyncio
import os

import nats
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError


async def main():
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS key-value token example publisher",
        token=os.environ["NATS_TOKEN"],
    )
    js = nc.jetstream()
    kv = await js.create_key_value(bucket="sample_kv", history=5)

    for n in range(1, 6):
        revision = await kv.put("greeting", f"Hello #{n}".encode())
        print(f"put greeting: revision {revision}", flush=True)

    entry = await kv.get("greeting")
    print(f"get greeting: {entry.value.decode()} at {entry.revision}", flush=True)

    revision = await kv.create("colour", b"green")
    print(f"create colour: revision {revision}", flush=True)
    try:
        await kv.create("colour", b"blue")
    except KeyWrongLastSequenceError as error:
        print(f"create colour again: {error.description}", flush=True)

    revision = await kv.update("colour", b"red", last=revision)
    print(f"update colour: revision {revision}", flush=True)
    try:
        await kv.update("colour", b"blue", last=revision - 1)
    except KeyWrongLastSequenceError as error:
        print(f"update with an old revision: {error.description}", flush=True)

    await kv.delete("colour")
    try:
        await kv.get("colour")
    except KeyNotFoundError as error:
        print(f"get colour: {error.op} at {error.entry.revision}", flush=True)

    history = await kv.history("greeting")
    print(f"history of greeting: {[e.revision for e in history]}", flush=True)
    await kv.purge("greeting")
    history = await kv.history("greeting")
    print(f"after the purge: {[e.operation for e in history]}", flush=True)
    try:
        await kv.get("nothing")
    except KeyNotFoundError:
        print("nothing is not there", flush=True)

    await kv.put("last", b"word")
    print(f"keys: {sorted(await kv.keys())}", flush=True)
    status = await kv.status()
    print(f"bucket {status.bucket}: {status.values} values", flush=True)
    await nc.close()
    print("done", flush=True)


asyncio.run(main())
