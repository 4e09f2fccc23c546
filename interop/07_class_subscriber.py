"""04 through the class NatsConnect."""

import asyncio

from nats_connect import NatsConnect


async def main():
    async with NatsConnect("NATS class example subscriber") as nats:
        seen = set()
        async for msg in nats.messages("foo", "sample_stream", "sample_durable"):
            seen.add(msg.metadata.sequence.stream)
            nats.log("info", f"received {msg.data.decode()!r}")
            await msg.ack()
            if len(seen) == 10:
                break
    print("done", flush=True)


asyncio.run(main())
