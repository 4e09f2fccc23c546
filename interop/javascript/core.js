// Core NATS.
import { headers } from "@nats-io/transport-node";
import { fields, open, refused, show, until } from "./everyday.js";

export async function core() {
  await calls(await open({ name: "everyday", inboxPrefix: "_MINE", pingInterval: 1000, verbose: true, pedantic: true }));
}

export async function calls(nc) {
  const other = await open({ noEcho: true });
  show("connected", nc.info.max_payload, nc.info.headers, (await nc.rtt()) >= 0);
  await messages(nc, other);
  await queues(nc);
  await requests(nc, other);
  await drained(nc, other);
  await nc.close();
  await refused("after the end", async () => nc.publish("x"));
  await other.close();
}

// A subscription whose messages are asked for one by one.
export function subscribe(nc, subject, options) {
  const sub = nc.subscribe(subject, options);
  const messages = sub[Symbol.asyncIterator]();
  return { sub, next: async () => (await messages.next()).value };
}

async function messages(nc, other) {
  const { sub, next } = subscribe(nc, "news.*.>");
  nc.publish("news.eu.weather", "rain");
  nc.publish("news.eu", "too short");
  const hdrs = headers();
  hdrs.append("A", "1");
  hdrs.append("A", "2");
  hdrs.append("b", "c d");
  nc.publish("news.us.sport.ball", "", { reply: "answers", headers: hdrs });
  for (let n = 0; n < 2; n++) {
    const msg = await next();
    show("received", msg.subject, msg.string(), msg.reply, fields(msg.headers));
  }
  nc.publish("news.eu.large", new Uint8Array(500_000));
  show("large", (await next()).data.length);
  await refused("too large", async () => nc.publish("big", new Uint8Array(nc.info.max_payload + 1)));
  sub.unsubscribe();

  const got = [];
  for (let n = 0; n < 2; n++) nc.subscribe("limited", { max: 2, callback: (_, msg) => got.push(msg.string()) });
  for (let n = 0; n < 5; n++) nc.publish("limited", `${n}`);
  await nc.flush();
  await until(() => got.length >= 4);
  show("limited to two", got.sort());

  const echo = subscribe(other, "echo");
  other.publish("echo", "mine");
  await other.flush();
  nc.publish("echo", "yours");
  show("no echo", (await echo.next()).string());
}

async function queues(nc) {
  const got = { one: 0, two: 0, all: 0 };
  for (const [name, queue] of [["one", "workers"], ["two", "workers"], ["all", undefined]]) {
    nc.subscribe("jobs.>", { queue, callback: () => got[name]++ });
  }
  for (let n = 0; n < 100; n++) nc.publish(`jobs.${n}`);
  await until(() => got.all === 100 && got.one + got.two === 100);
  show("queue", got.one + got.two, "both worked", got.one > 0 && got.two > 0, "the plain one", got.all);
}

async function requests(nc, other) {
  const callback = (_, msg) => msg.string() !== "silence" && msg.respond(`re: ${msg.string()}`);
  other.subscribe("ask", { queue: "answerers", callback });
  other.subscribe("ask.many", { callback: (_, msg) => [1, 2, 3].forEach((n) => msg.respond(`${n}`)) });
  await other.flush();
  show("answer", (await nc.request("ask", "what", { timeout: 20_000 })).string());
  show("with a mux of its own", (await nc.request("ask", "who", { noMux: true, timeout: 20_000 })).string());
  const many = [];
  for await (const msg of await nc.requestMany("ask.many", "", { strategy: "count", maxMessages: 3, maxWait: 20_000 })) {
    many.push(msg.string());
  }
  show("many answers", many);
  await refused("nobody there", () => nc.request("ask.nobody", "", { timeout: 20_000 }));
  await refused("no answer", () => nc.request("ask", "silence", { timeout: 200 }));
}

async function drained(nc, other) {
  const draining = await open();
  let got = 0;
  draining.subscribe("drain", { callback: () => got++ });
  await draining.flush();
  for (let n = 0; n < 50; n++) nc.publish("drain");
  await nc.flush();
  await draining.drain();
  show("drained", got, draining.isClosed());
}
