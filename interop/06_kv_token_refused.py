"""A wrong token is refused, by name."""

import asyncio
import os

import nats


async def main():
    try:
        await nats.connect(
            os.environ.get("NATS_URL", "nats://localhost:4222"),
            token="not the token",
            allow_reconnect=False,
        )
    except nats.errors.Error as error:
        print(f"refused: {error}", flush=True)
    print("done", flush=True)


asyncio.run(main())
