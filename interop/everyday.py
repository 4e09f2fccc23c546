"""What the everyday programs share: a line for each answer, without what differs from run to run."""

import dataclasses
import datetime
import enum
import logging
import os
import re

import nats

URL = os.environ.get("NATS_URL", "nats://localhost:4222")

# What the client logs of itself comes at any time.
logging.disable(logging.CRITICAL)

# Times, and what a server or a client draws by lot.
VOLATILE = {"created", "ts", "last_active", "leader_since", "cluster", "pause_remaining", "mtime", "nuid"}


def show(name, value):
    print(f"{name}: {plain(value)}", flush=True)


def plain(value):
    """A text that is the same on each run: fields that are set, by their names."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain({key: item for key, item in fields.items() if item is not None})
    if isinstance(value, dict):
        kept = {key: item for key, item in sorted(value.items()) if key not in VOLATILE}
        return "{" + ", ".join(f"{key}={plain(item)}" for key, item in kept.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, datetime.datetime):
        return "<time>"
    if isinstance(value, str):
        value = re.sub(r"_INBOX\.[A-Za-z0-9.]+", "_INBOX.<lot>", value)
        return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)", "<time>", value)
    return str(value)


async def refused(name, call):
    """The error that `call` ends with, which it must."""
    try:
        value = await call
    except Exception as error:
        code = f" {error.err_code}" if getattr(error, "err_code", None) else ""
        show(name, f"{type(error).__name__}{code} {getattr(error, 'description', None) or error}")
    else:
        show(name, f"accepted {plain(value)}")


async def settle(nc):
    """Waits until the server has done all that was asked: `flush` may overtake what is still buffered."""
    try:
        await nc.request("nobody.listens.here", b"", timeout=10)
    except nats.errors.NoRespondersError:
        pass
