// Says when the server may be restarted, and shows that everything goes on behind it.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { open, show, take, until } from "./everyday.js";
import { texts } from "./jetstream.js";

export async function restart() {
  const nc = await open();
  const seen = [];
  (async () => {
    for await (const status of nc.status()) seen.push(status.type);
  })();
  const js = jetstream(nc, { timeout: 20_000 });
  const jsm = await jetstreamManager(nc, { timeout: 20_000 });
  await jsm.streams.add({ name: "EVENTS", subjects: ["events.*"] });
  const bucket = await new Kvm(nc).create("kept");
  const watch = (await bucket.watch())[Symbol.asyncIterator]();
  const watched = async () => {
    const { key, revision, value } = (await watch.next()).value;
    return `${key}=${new TextDecoder().decode(value)} ${revision}`;
  };
  await jsm.consumers.add("EVENTS", { durable_name: "durable", ack_policy: "explicit" });
  const durable = await js.consumers.get("EVENTS", "durable");
  const options = { idle_heartbeat: 1000, expires: 5000 };
  const ordered = texts(await (await js.consumers.get("EVENTS")).consume(options));
  const plain = texts(nc.subscribe("plain"));
  const publish = async (from) => {
    for (let n = from; n < from + 10; n++) await js.publish("events.x", `${n}`);
  };
  await publish(0);
  await bucket.put("key", "before");
  show("ordered", await ordered(10));
  show("watch", await watched());
  for (const msg of (await take(await durable.fetch({ max_messages: 10 }), 10)).slice(0, 5)) await msg.ackAck();
  show("restart now");
  await until(() => seen.includes("reconnect"));
  nc.publish("plain", "sent behind it");
  show("plain", await plain(1));
  await publish(10);
  await bucket.put("key", "after");
  show("ordered", await ordered(10));
  show("watch", await watched());
  const info = await durable.info();
  show("durable", info.ack_floor.stream_seq, info.num_ack_pending, info.num_pending);
  const first = await durable.next({ expires: 20_000 });
  show("its next", first.string(), first.info.deliveryCount);
  show("messages", (await jsm.streams.info("EVENTS")).state.messages, (await bucket.get("key")).revision);
  await nc.close();
}
