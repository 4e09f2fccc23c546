"""The class of examples 07 and 08: options, callbacks and the error policy in one place."""

import asyncio
import os

import nats
from nats.js.api import StorageType


class NatsConnect:
    def __init__(self, name, log=None):
        self.name = name
        self.log = log or (lambda level, text: print(text, flush=True))
        self.nc = None
        self.js = None

    async def __aenter__(self):
        self.nc = await nats.connect(
            servers=os.environ.get("NATS_URL", "nats://localhost:4222").split(","),
            name=self.name,
            connect_timeout=10,
            reconnect_time_wait=0.5,
            max_reconnect_attempts=-1,
            disconnected_cb=self.on_disconnected,
            reconnected_cb=self.on_reconnected,
            closed_cb=self.on_closed,
            error_cb=self.on_error,
        )
        self.js = self.nc.jetstream(timeout=1)
        self.log("info", f"connected to {self.nc.connected_url.netloc}")
        return self

    async def __aexit__(self, *_):
        await self.nc.drain()

    async def on_disconnected(self):
        self.log("warning", "disconnected")

    async def on_reconnected(self):
        self.log("info", f"reconnected to {self.nc.connected_url.netloc}")

    async def on_closed(self):
        self.log("info", "closed")

    async def on_error(self, error):
        self.log("error", f"error: {error!r}")

    async def ensure_stream(self, name, subject):
        storage = StorageType(os.environ.get("STORAGE", "file"))
        return await self.js.add_stream(name=name, subjects=[subject], storage=storage)

    async def publish(self, subject, payload, message_id):
        """Publishes until the stream has it: the id makes a repetition harmless."""
        while True:
            try:
                headers = {"Nats-Msg-Id": message_id}
                return await self.js.publish(subject, payload, headers=headers)
            except Exception as error:
                self.log("warning", f"publish {message_id} failed: {error!r}")
                await asyncio.sleep(0.3)

    async def messages(self, subject, stream, durable):
        """Yields messages for ever, each to be acked by the caller."""
        sub = None
        while True:
            try:
                if sub is None:
                    sub = await self.js.pull_subscribe(subject, durable=durable, stream=stream)
                    self.log("info", "subscribed")
                batch = await sub.fetch(1, timeout=1)
            except nats.errors.TimeoutError:
                continue
            except Exception as error:
                self.log("warning", f"waiting: {error!r}")
                await asyncio.sleep(0.3)
                continue
            for msg in batch:
                yield msg
