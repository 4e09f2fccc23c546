// Two instances of a service, each on a connection of its own.
import { Svcm } from "@nats-io/services";
import { fields, open, refused, show, until } from "./everyday.js";

export async function services() {
  const client = await open();
  const connections = [];
  const instances = [];
  for (let n = 0; n < 2; n++) {
    const nc = await open();
    const service = await new Svcm(nc).add({ name: "twice", version: "1.2.3", description: "says it twice", metadata: { a: "b" } });
    const handler = (error, msg) => {
      if (msg.string() === "bad") msg.respondError(418, "no such number", "body");
      else msg.respond(msg.string() + msg.string());
    };
    service.addEndpoint("twice", handler);
    service.addGroup("more").addEndpoint("double", { handler, subject: "double.*", metadata: { m: "1" } });
    await nc.flush();
    connections.push(nc);
    instances.push(service);
  }
  const request = (subject, data) => client.request(subject, data, { timeout: 20_000 });
  for (let n = 0; n < 100; n++) {
    const answer = (await request("twice", "ab")).string();
    if (answer !== "abab") throw new Error(answer);
  }
  show("in a group", (await request("more.double.x", "x")).string());
  const answer = await request("twice", "bad");
  show("error", answer.string(), fields(answer.headers));

  const asking = new Svcm(client).client({ strategy: "stall", maxWait: 5000, stall: 300 });
  const all = async (things) => {
    const got = [];
    for await (const thing of await things) got.push(thing);
    return got;
  };
  show("pings", (await all(asking.ping())).length, (await all(asking.ping("twice"))).length);
  const id = instances[0].info().id;
  show("ping by id", (await all(asking.ping("twice", id)))[0].id === id);
  await refused("another service", () => request("$SRV.PING.others", ""));
  const [info] = await all(asking.info("twice", id));
  show("info", info.name, info.version, info.description, info.metadata, info.endpoints);
  const stats = (await all(asking.stats("twice"))).map((one) => one.endpoints.find((end) => end.name === "twice"));
  const sum = (field) => stats.reduce((total, end) => total + end[field], 0);
  show("stats", sum("num_requests"), sum("num_errors"), "balanced", stats.every((end) => end.num_requests > 20));

  await instances[0].stop();
  await until(async () => (await all(asking.ping("twice"))).length === 1);
  show("after a stop", (await request("twice", "cd")).string());
  await instances[1].stop();
  await connections[1].flush();
  await refused("nobody is left", () => request("twice", ""));
  for (const nc of [client, ...connections]) await nc.close();
}
