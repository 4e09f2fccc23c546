"""04 through the class NatsConnect."""

import asyncio

from nats_connect import NatsConnect


async def main():
    async with NatsConnect("NATS class example publisher") as nats:
        await nats.ensure_stream("sample_stream", "foo")
        for n in range(1, 11):
            payload = f"Hello #{n} from NATS publisher".encode()
            ack = await nats.publish("foo", payload, f"hello-{n}")
            nats.log("info", f"published #{n}: seq={ack.seq}")
            await asyncio.sleep(0.1)
    print("done", flush=True)


asyncio.run(main())
