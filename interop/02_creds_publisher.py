"""Connects with a credentials file, publishes on foo, then tries a subject that the user may not use."""

import asyncio
import os

import nats


async def main():
    refused = asyncio.Event()

    async def on_error(error):
        print(f"error: {error}", flush=True)
        refused.set()

    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS credentials example publisher",
        user_credentials=os.environ["NATS_CREDS"],
        error_cb=on_error,
    )
    print("connected", flush=True)

    for n in range(1, 11):
        await nc.publish("foo", f"Hello #{n} from NATS publisher".encode())
        print(f"published #{n}", flush=True)

    await nc.publish("demo.secret", b"not for me")
    await nc.flush()
    await asyncio.wait_for(refused.wait(), 5)

    await nc.close()
    print("done", flush=True)


asyncio.run(main())
