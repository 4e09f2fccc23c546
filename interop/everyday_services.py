"""A service of nats-py's micro package, found and asked as the `nats` tool does."""

import asyncio
import json

import nats
from everyday import URL, refused, settle, show
from nats.micro import ServiceConfig, add_service
from nats.micro.service import EndpointConfig, GroupConfig


def known(answer):
    """An answer without what each run draws or measures anew."""
    answer = json.loads(answer)
    for part in [answer, *answer.get("endpoints", [])]:
        for volatile in ("id", "started", "processing_time", "average_processing_time"):
            part.pop(volatile, None)
    return answer


async def gather(nc, subject):
    """All answers to a request: those that came before a quiet moment."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish(subject, b"", reply=inbox)
    answers = []
    try:
        while True:
            answers.append((await sub.next_msg(timeout=0.5)).data)
    except nats.errors.TimeoutError:
        await sub.unsubscribe()
        return answers


async def main():
    nc, client = await nats.connect(URL), await nats.connect(URL)

    async def twice(request):
        if request.data == b"fail":
            await request.respond_error("418", "no such number", data=b"body")
        else:
            await request.respond(str(2 * int(request.data)).encode(), headers={"By": "twice"})

    config = ServiceConfig(name="numbers", version="1.2.3", description="of numbers", metadata={"a": "b"})
    services = [await add_service(nc, config) for _ in range(2)]
    for service in services:
        await service.add_endpoint(EndpointConfig(name="twice", handler=twice, metadata={"m": "1"}))
        group = service.add_group(GroupConfig(name="more"))
        await group.add_endpoint(EndpointConfig(name="double", subject="double.*", handler=twice))
    await settle(nc)

    reply = await client.request("twice", b"21", timeout=5)
    show("answer", [reply.data, reply.headers])
    reply = await client.request("more.double.x", b"4", timeout=5)
    show("in a group", reply.data)
    reply = await client.request("twice", b"fail", timeout=5)
    show("error", [reply.data, reply.headers])
    for _ in range(20):
        await client.request("twice", b"1", timeout=5)

    show("pings", len(await gather(client, "$SRV.PING")))
    show("pings by name", len(await gather(client, "$SRV.PING.numbers")))
    show("pings by id", len(await gather(client, f"$SRV.PING.numbers.{services[0].id}")))
    show("info", known((await client.request("$SRV.INFO.numbers", b"", timeout=5)).data))
    stats = [known(answer) for answer in await gather(client, "$SRV.STATS.numbers")]
    ends = [end for one in stats for end in one["endpoints"]]
    for name in ("twice", "double"):
        mine = [end for end in ends if end["name"] == name]
        show(f"requests to {name}", sum(end["num_requests"] for end in mine))
        show(f"errors of {name}", sum(end["num_errors"] for end in mine))
    await refused("another service", client.request("$SRV.PING.others", b"", timeout=5))

    await services[0].stop()
    await settle(nc)
    show("pings after a stop", len(await gather(client, "$SRV.PING.numbers")))
    show("still answered", (await client.request("twice", b"3", timeout=5)).data)
    await services[1].stop()
    await settle(nc)
    await refused("nobody answers", client.request("twice", b"3", timeout=5))
    await nc.close()
    await client.close()
    show("done", "services")


asyncio.run(main())
