"""03 with every callback: what happens to the connection is printed, and a refused publish is repeated."""

import asyncio
import os

import nats
from nats.js.api import StorageType


async def main():
    async def on_disconnected():
        print("disconnected", flush=True)

    async def on_reconnected():
        print(f"reconnected to {nc.connected_url.netloc}", flush=True)

    async def on_closed():
        print("closed", flush=True)

    async def on_error(error):
        print(f"error: {error!r}", flush=True)

    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://localhost:4222"),
        name="NATS callbacks example publisher",
        reconnect_time_wait=0.5,
        max_reconnect_attempts=-1,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        closed_cb=on_closed,
        error_cb=on_error,
    )
    js = nc.jetstream(timeout=1)
    await js.add_stream(
        name="sample_stream",
        subjects=["foo"],
        storage=StorageType(os.environ.get("STORAGE", "file")),
    )

    n = 1
    while n <= 10:
        try:
            # The id makes a repetition harmless: a stream takes each id once.
            ack = await js.publish(
                "foo",
                f"Hello #{n} from NATS publisher".encode(),
                headers={"Nats-Msg-Id": f"hello-{n}"},
            )
        except Exception as error:
            print(f"publish #{n} failed: {error!r}", flush=True)
            await asyncio.sleep(0.3)
            continue
        print(f"published #{n}: seq={ack.seq}", flush=True)
        n += 1
        await asyncio.sleep(0.1)

    await nc.drain()
    print("done", flush=True)


asyncio.run(main())
