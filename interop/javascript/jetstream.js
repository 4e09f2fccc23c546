// JetStream: streams, publishing, pull, push and ordered consumers.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { fields, open, refused, show, take, until } from "./everyday.js";

export async function jetstreams() {
  const nc = await open();
  const js = jetstream(nc, { timeout: 20_000 });
  const jsm = await jetstreamManager(nc, { timeout: 20_000 });
  await streams(jsm);
  await publishes(js, jsm);
  await batches(js, jsm);
  await pulls(js, jsm);
  await groups(js, jsm);
  await pushes(js, jsm);
  await ordered(js, jsm);
  await nc.close();
}

async function all(lister) {
  const got = [];
  for await (const one of lister) got.push(one);
  return got;
}

async function streams(jsm) {
  const config = {
    name: "ORDERS", subjects: ["orders.>"], max_msgs: 1000, max_age: nanos(3_600_000), max_msg_size: 10_000,
    allow_direct: true, allow_rollup_hdrs: true, allow_msg_ttl: true, allow_atomic: true, metadata: { team: "a" },
  };
  const info = await jsm.streams.add(config);
  show("stream", info.config.name, info.config.storage, info.config.max_bytes, info.config.metadata.team, info.state.messages);
  await refused("other limits", () => jsm.streams.add({ ...config, max_msgs: 5 }));
  await refused("overlap", () => jsm.streams.add({ name: "MORE", subjects: ["orders.new"] }));
  await refused("update of none", () => jsm.streams.update("NOTHING", { max_msgs: 5 }));
  show("updated", (await jsm.streams.update("ORDERS", { max_msgs: 2000 })).config.max_msgs);
  await refused("bad update", () => jsm.streams.update("ORDERS", { storage: "memory" }));
  await refused("no such stream", () => jsm.streams.info("NOTHING"));
  show("names", await all(jsm.streams.names()), await jsm.streams.find("orders.x"));
  show("list", (await all(jsm.streams.list())).map((info) => info.config.name));
  show("account", (await jsm.getAccountInfo()).streams);
}

async function publishes(js, jsm) {
  for (let n = 0; n < 3; n++) show("ack", await js.publish(`orders.${n}`, `${n}`, { msgID: `${n}` }));
  show("duplicate", await js.publish("orders.0", "", { msgID: "0" }));
  for (const expect of [
    { streamName: "OTHER" }, { lastSequence: 9 }, { lastMsgID: "x" }, { lastSubjectSequence: 7 },
    { lastSubjectSequence: 1, lastSubjectSequenceSubject: "orders.2" },
  ]) {
    await refused("not as expected", () => js.publish("orders.0", "", { expect }));
  }
  const expect = { streamName: "ORDERS", lastSequence: 3, lastMsgID: "2", lastSubjectSequence: 1 };
  show("as expected", await js.publish("orders.0", "", { expect }));
  await refused("too large", () => js.publish("orders.0", new Uint8Array(10_001)));
  await refused("no stream", () => js.publish("elsewhere", "", { retries: 0 }));
  const acks = await Promise.all(Array.from({ length: 100 }, () => js.publish("orders.many", "")));
  show("at once", acks[0].seq, acks[99].seq);

  const msg = await jsm.streams.getMessage("ORDERS", { seq: 2 });
  show("by sequence", msg.subject, msg.string(), fields(msg.header));
  show("last", (await jsm.streams.getMessage("ORDERS", { last_by_subj: "orders.1" })).seq);
  show("direct", (await jsm.direct.getMessage("ORDERS", { seq: 2, next_by_subj: "orders.0" })).seq);
  show("nothing there", await jsm.direct.getMessage("ORDERS", { seq: 999 }));
  const batch = await jsm.direct.getBatch("ORDERS", { seq: 1, batch: 3, next_by_subj: "orders.>" });
  show("batch", (await all(batch)).map((msg) => msg.seq));
  const last = await jsm.direct.getLastMessagesFor("ORDERS", { multi_last: ["orders.0", "orders.1"] });
  show("last of each", (await all(last)).map((msg) => `${msg.subject} ${msg.seq}`));
  show("deleted", await jsm.streams.deleteMessage("ORDERS", 2), await jsm.streams.getMessage("ORDERS", { seq: 2 }));
  const { state } = await jsm.streams.info("ORDERS", { deleted_details: true, subjects_filter: "orders.*" });
  show("state", state.messages, state.deleted, state.subjects);
  show("purged", await jsm.streams.purge("ORDERS", { filter: "orders.many", keep: 2 }));
  await js.publish("orders.brief", "", { ttl: "1s" });
  await until(async () => (await jsm.streams.getMessage("ORDERS", { last_by_subj: "orders.brief" })) === null);
  show("expired");
}

async function batches(js, jsm) {
  const batch = await js.startBatch("orders.batch", "1");
  batch.add("orders.batch", "2");
  await batch.add("orders.batch", "3", { ack: true });
  const ack = await batch.commit("orders.batch", "4");
  show("committed", ack.count, ack.stream, batch.count);
  show("stored", (await jsm.streams.info("ORDERS", { subjects_filter: "orders.batch" })).state.subjects);
  await jsm.streams.add({ name: "PLAIN", subjects: ["plain"] });
  await refused("not allowed", () => js.startBatch("plain", "1"));
}

async function pulls(js, jsm) {
  await jsm.streams.add({ name: "TASKS", subjects: ["tasks.*"], retention: "workqueue" });
  for (let n = 0; n < 8; n++) await js.publish(`tasks.${n}`, `${n}`);
  const info = await jsm.consumers.add("TASKS", { durable_name: "worker", ack_policy: "explicit", ack_wait: nanos(60_000) });
  show("consumer", info.name, info.config.max_ack_pending, info.config.max_waiting, info.num_pending);
  const consumer = await js.consumers.get("TASKS", "worker");
  const batch = await all(await consumer.fetch({ max_messages: 4, expires: 20_000 }));
  for (const msg of batch) show("task", msg.subject, msg.string(), msg.seq, msg.info.deliverySequence, msg.info.pending);
  show("acked", await batch[0].ackAck());
  batch[1].nak();
  batch[2].working();
  batch[3].term("no use");
  await batch[2].ackAck();
  const rest = [];
  for await (const msg of await consumer.consume({ max_messages: 3 })) {
    rest.push(`${msg.string()}/${msg.info.deliveryCount}`);
    await msg.ackAck();
    if (rest.length === 5) break;
  }
  show("rest", rest.sort(), "left", (await jsm.streams.info("TASKS")).state.messages);
  show("nothing left", await consumer.next({ expires: 1000 }));
  const late = consumer.next({ expires: 20_000 });
  await js.publish("tasks.late", "late");
  const first = await late;
  first.nak(10);
  const again = await consumer.next({ expires: 20_000 });
  show("delayed", first.string(), again.string(), again.info.deliveryCount);
  await again.ackAck();
  await js.publish("tasks.bytes", new Uint8Array(1000));
  await js.publish("tasks.bytes", new Uint8Array(1000));
  let count = 0;
  await refused("more bytes than allowed", async () => {
    for await (const msg of await consumer.fetch({ max_bytes: 1500, expires: 20_000 })) count += msg.data.length;
  });
  show("of them came", count);
  await refused("a work queue has one", () => jsm.consumers.add("TASKS", { durable_name: "other", ack_policy: "explicit" }));
  show("updated", (await jsm.consumers.update("TASKS", "worker", { max_deliver: 7 })).config.max_deliver);
  show("paused", (await jsm.consumers.pause("TASKS", "worker", new Date(Date.now() + 60_000))).paused);
  show("resumed", (await jsm.consumers.resume("TASKS", "worker")).paused);
  show("list", (await all(jsm.consumers.list("TASKS"))).map((info) => info.name));
  const callback = (msg) => msg.ack();
  const waiting = await consumer.consume({ callback, abort_on_missing_resource: true });
  await until(async () => (await consumer.info()).num_waiting > 0);
  show("deleted", await consumer.delete());
  show("deleted meanwhile", `${await waiting.closed()}`);
  await refused("no consumer", () => jsm.consumers.info("TASKS", "worker"));
}

// Groups of one consumer: a pinned client, and one that only helps when much waits.
async function groups(js, jsm) {
  await jsm.streams.add({ name: "GROUPS", subjects: ["groups"] });
  for (let n = 0; n < 4; n++) await js.publish("groups", `${n}`);
  const config = { ack_policy: "explicit", priority_groups: ["G"] };
  await jsm.consumers.add("GROUPS", { ...config, durable_name: "pinned", priority_policy: "pinned_client", priority_timeout: nanos(60_000) });
  const pinned = await js.consumers.get("GROUPS", "pinned");
  const [msg] = await all(await pinned.fetch({ max_messages: 1, expires: 20_000, group: "G" }));
  const { priority_groups } = await pinned.info();
  show("pinned", msg.string(), msg.headers.has("Nats-Pin-Id"), priority_groups[0].group);
  await jsm.consumers.unpin("GROUPS", "pinned", "G");
  await jsm.consumers.add("GROUPS", { ...config, durable_name: "overflow", priority_policy: "overflow" });
  const overflow = await js.consumers.get("GROUPS", "overflow");
  const helped = await all(await overflow.fetch({ max_messages: 2, expires: 1000, group: "G", min_pending: 10 }));
  const more = await all(await overflow.fetch({ max_messages: 2, expires: 20_000, group: "G", min_pending: 2 }));
  show("overflow", helped.length, more.length);
  await refused("no group", async () => all(await overflow.fetch({ max_messages: 1, expires: 1000 })));
}

async function pushes(js, jsm) {
  await jsm.streams.add({ name: "EVENTS", subjects: ["events.*"] });
  for (let n = 0; n < 20; n++) await js.publish(`events.${n % 2}`, `${n}`);
  await jsm.consumers.add("EVENTS", {
    durable_name: "pushed", deliver_subject: "to.me", ack_policy: "explicit", filter_subject: "events.1",
    flow_control: true, idle_heartbeat: nanos(1000),
  });
  const consumer = await js.consumers.getPushConsumer("EVENTS", "pushed");
  const messages = await consumer.consume();
  const got = [];
  for (const msg of await take(messages, 10)) {
    got.push(msg.string());
    await msg.ackAck();
  }
  const info = await consumer.info();
  show("pushed", got, info.ack_floor.stream_seq, info.num_pending);
}

async function ordered(js, jsm) {
  const consumer = await js.consumers.get("EVENTS", { filter_subjects: ["events.0", "events.1"] });
  const messages = await consumer.consume({ idle_heartbeat: 1000, expires: 5000 });
  const next = texts(messages);
  show("ordered", await next(20));
  // The consumer is lost: the client makes another, which goes on behind the last message.
  const { name } = await consumer.info();
  await jsm.consumers.delete("EVENTS", name);
  for (let n = 20; n < 25; n++) await js.publish("events.0", `${n}`);
  show("behind a deletion", await next(5), (await consumer.info()).name !== name);
  messages.stop();

  const pushed = await js.consumers.getPushConsumer("EVENTS", { filter_subjects: ["events.0"] });
  const sent = texts(await pushed.consume());
  show("ordered, pushed", await sent(15));
}

// Asks for the texts of the next messages, again and again.
export function texts(messages) {
  const iterator = messages[Symbol.asyncIterator]();
  return async (count) => {
    const got = [];
    while (got.length < count) got.push((await iterator.next()).value.string());
    return got.join(" ");
  };
}
