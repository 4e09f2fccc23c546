"""Core NATS as nats-py uses it every day: options, publish, subscribe, queues, requests, headers, drain."""

import asyncio
from functools import partial

import nats
from everyday import URL, refused, settle, show


async def options():
    nc = await nats.connect(
        URL,
        name="everyday",
        verbose=True,
        pedantic=True,
        no_echo=True,
        inbox_prefix="_MINE",
        ping_interval=1,
        max_outstanding_pings=5,
        pending_size=1024 * 1024,
        flush_timeout=5,
        dont_randomize=True,
    )
    show("connected", nc.is_connected)
    show("version", f"{nc.connected_server_version.major}.{nc.connected_server_version.minor}")
    show("max_payload", nc.max_payload)
    show("client_id", nc.client_id > 0)
    show("client_ip", nc.client_ip)
    show("rtt", 0 < await nc.rtt() < 60)
    show("inbox", nc.new_inbox().startswith("_MINE."))
    echo = await nc.subscribe("echo")
    await nc.publish("echo", b"to myself")
    await settle(nc)
    await refused("no echo", echo.next_msg(timeout=0.2))
    await nc.close()
    show("closed", nc.is_closed)


async def messages(nc):
    sub = await nc.subscribe("news.*.>")
    await nc.publish("news.eu.weather", b"rain")
    await nc.publish("news.eu", b"too short")
    await nc.publish("news.us.sport.ball", b"", reply="answers", headers={"A": "1", "Two": "b c"})
    for _ in range(2):
        msg = await sub.next_msg(timeout=5)
        show("received", [msg.subject, msg.data, msg.reply, msg.headers or {}])
    await refused("nothing more", sub.next_msg(timeout=0.2))
    await refused("subject with a blank", nc.publish("a b", b"x"))
    await refused("payload too large", nc.publish("big", b"x" * (nc.max_payload + 1)))
    await nc.publish("news.eu.large", b"x" * 500_000)
    show("large", len((await sub.next_msg(timeout=5)).data))
    await sub.unsubscribe()

    got = []
    limited = await nc.subscribe("limited", cb=partial(keep, got))
    await limited.unsubscribe(limit=2)
    for n in range(5):
        await nc.publish("limited", str(n).encode())
    await settle(nc)
    await until(lambda: len(got) == 2)
    show("limited to two", got)

    iterated = await nc.subscribe("iterated")
    for n in range(3):
        await nc.publish("iterated", str(n).encode())
    await iterated.unsubscribe(limit=3)
    show("iterated", [msg.data async for msg in iterated.messages])


async def keep(got, msg):
    got.append(msg.data)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def queues(nc):
    got = {"one": [], "two": [], "all": []}
    for name, queue in [("one", "workers"), ("two", "workers"), ("all", "")]:
        await nc.subscribe("jobs.>", queue=queue, cb=partial(keep, got[name]))
    await settle(nc)
    for n in range(100):
        await nc.publish(f"jobs.{n}", str(n).encode())
    await until(lambda: len(got["all"]) == 100 and len(got["one"]) + len(got["two"]) == 100)
    show("plain subscriber", len(got["all"]))
    show("workers together", len(set(got["one"] + got["two"])))
    show("both worked", bool(got["one"]) and bool(got["two"]))


async def requests(nc, other):
    async def answer(msg):
        if msg.headers and "Fail" in msg.headers:
            return
        await msg.respond(b"re: " + msg.data)

    await other.subscribe("ask", queue="answerers", cb=answer)
    await settle(other)
    show("answer", (await nc.request("ask", b"what", timeout=5)).data)
    show("old style", (await nc.request("ask", b"who", timeout=5, old_style=True)).data)
    many = await asyncio.gather(*[nc.request("ask", str(n).encode(), timeout=5) for n in range(50)])
    show("fifty at once", [msg.data for msg in many] == [f"re: {n}".encode() for n in range(50)])
    await refused("nobody there", nc.request("ask.nobody", b"", timeout=5))
    await refused("no answer", nc.request("ask", b"", timeout=0.2, headers={"Fail": "1"}))


async def drained(other):
    closed = asyncio.get_running_loop().create_future()
    got = []

    async def on_closed():
        closed.set_result(True)

    async def slowly(msg):
        await asyncio.sleep(0.01)
        got.append(msg.data)

    nc = await nats.connect(URL, closed_cb=on_closed)
    one = await nc.subscribe("drain.one", cb=slowly)
    await nc.subscribe("drain.all", cb=slowly)
    await settle(nc)
    for n in range(20):
        await other.publish("drain.one", b"one")
        await other.publish("drain.all", b"all")
    await settle(other)
    await settle(nc)
    await one.drain()
    show("drained subscription", got.count(b"one"))
    await nc.drain()
    await closed
    show("drained connection", got.count(b"all"))
    await refused("after the end", nc.publish("drain.one", b""))


async def main():
    await options()
    async with await nats.connect(URL) as nc, await nats.connect(URL) as other:
        await messages(nc)
        await queues(nc)
        await requests(nc, other)
        await drained(other)
        show("sent and received", [nc.stats["out_msgs"] > 0, nc.stats["in_msgs"] > 0])
    show("done", "core")


asyncio.run(main())
