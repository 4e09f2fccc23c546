"""07, its lines through a logger: a coloured console and a rotating file."""

import asyncio

from console_and_file import make_logger
from nats_connect import NatsConnect


async def main():
    log = make_logger("nats_publisher")
    async with NatsConnect("NATS logger example publisher", log) as nats:
        await nats.ensure_stream("sample_stream", "foo")
        for n in range(1, 11):
            payload = f"Hello #{n} from NATS publisher".encode()
            ack = await nats.publish("foo", payload, f"hello-{n}")
            nats.log("info", f"published #{n}: seq={ack.seq}")
            await asyncio.sleep(0.1)
    print("done", flush=True)


asyncio.run(main())
