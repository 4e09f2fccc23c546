"""03 with every callback: the durable consumer goes on after the server was away."""

import asyncio
import os

import nats


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
        name="NATS callbacks example subscriber",
        reconnect_time_wait=0.5,
        max_reconnect_attempts=-1,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        closed_cb=on_closed,
        error_cb=on_error,
    )
    js = nc.jetstream(timeout=2)

    sub = None
    seen = set()
    while len(seen) < 10:
        try:
            if sub is None:
                sub = await js.pull_subscribe(
                    "foo", durable="sample_durable", stream="sample_stream"
                )
                print("subscribed", flush=True)
            msgs = await sub.fetch(1, timeout=1)
        except nats.errors.TimeoutError:
            continue
        except Exception as error:
            print(f"waiting: {error!r}", flush=True)
            await asyncio.sleep(0.3)
            continue
        for msg in msgs:
            seen.add(msg.metadata.sequence.stream)
            print(f"received {msg.data.decode()!r}", flush=True)
            await msg.ack()

    await nc.drain()
    print("done", flush=True)


asyncio.run(main())
