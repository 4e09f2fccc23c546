"""07, its lines through a logger: a coloured console and a rotating file."""

import asyncio

from console_and_file import make_logger
from nats_connect import NatsConnect


async def main():
    log = make_logger("nats_subscriber")
    async with NatsConnect("NATS logger example subscriber", log) as nats:
        seen = set()
        async for msg in nats.messages("foo", "sample_stream", "sample_durable"):
            seen.add(msg.metadata.sequence.stream)
            nats.log("info", f"received {msg.data.decode()!r}")
            await msg.ack()
            if len(seen) == 10:
                break
    print("done", flush=True)


asyncio.run(main())
