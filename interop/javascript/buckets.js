// Key/Value buckets and object stores.
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { open, refused, show, take, until } from "./everyday.js";

export async function buckets() {
  const nc = await open();
  await keys(nc);
  await objects(nc);
  await nc.close();
}

const text = (entry) => new TextDecoder().decode(entry.value);

async function all(things) {
  const got = [];
  for await (const thing of things) got.push(thing);
  return got;
}

async function keys(nc) {
  const kvm = new Kvm(nc);
  const kv = await kvm.create("colours", { history: 5, description: "of things", markerTTL: 1000 });
  const watch = await kv.watch();
  for (const value of ["red", "green", "blue"]) show("put", await kv.put("sky", value));
  const entry = await kv.get("sky");
  show("get", entry.key, entry.string(), entry.revision, entry.operation);
  show("an old one", (await kv.get("sky", { revision: 2 })).string());
  show("no such revision", await kv.get("sky", { revision: 9 }));
  show("no such key", await kv.get("nothing"));
  show("create", await kv.create("sea", "grey"));
  await refused("create again", () => kv.create("sea", ""));
  await refused("update of an old one", () => kv.update("sea", "", 3));
  show("update", await kv.update("sea", "black", 4));
  await kv.delete("sea");
  show("deleted", (await kv.get("sea")).operation);
  show("create after a deletion", await kv.create("sea", "white"));
  await kv.delete("sea", { previousSeq: 7 });
  await refused("delete of an old one", () => kv.delete("sky", { previousSeq: 1 }));
  for (const entry of await all(await kv.history({ key: "sea" }))) {
    show("history", entry.revision, entry.operation, text(entry), entry.delta);
  }
  await kv.purge("sea");
  await kv.put("a.b", "nested");
  show("keys", (await all(await kv.keys())).sort(), await all(await kv.keys("a.*")));
  for (const entry of await take(watch, 10)) show("watched", entry.key, entry.operation, text(entry), entry.revision);
  const later = await kv.watch({ key: "*", ignoreDeletes: true, headers_only: true });
  show("watched later", (await take(later, 1)).map((entry) => `${entry.key} ${entry.length}`));
  const resumed = await kv.watch({ resumeFromRevision: 9 });
  show("watched from", (await take(resumed, 2)).map((entry) => entry.revision));
  await kv.create("brief", "", "1s");
  await until(async () => (await kv.get("brief"))?.operation === "PURGE");
  show("expired with a marker");
  await kv.purge("sky", { ttl: "1s" });
  await until(async () => (await kv.get("sky")) === null);
  show("a marker that expired");
  const status = await kv.status();
  show("status", status.bucket, status.history, status.description, status.markerTTL, status.ttl);
  await refused("bad key", () => kv.put("a b", ""));
  await refused("no such bucket", async () => (await kvm.open("nothing")).put("a", ""));
  const short = await kvm.create("short", { ttl: 1000, storage: "memory" });
  await short.put("key", "value");
  await until(async () => (await short.get("key")) === null);
  show("buckets", (await all(kvm.list())).map((status) => status.bucket).sort());
  show("destroyed", await kv.destroy());
}

async function objects(nc) {
  const objm = new Objm(nc);
  const store = await objm.create("files", { description: "of all" });
  const watch = await store.watch();
  const big = new Uint8Array(320_000).map((_, n) => n % 251);
  const info = await store.putBlob({ name: "big", metadata: { a: "1" } }, big);
  show("put", info.name, info.size, info.chunks, info.digest, info.metadata);
  const got = await store.getBlob("big");
  show("same", got.length === big.length && got.every((byte, n) => byte === big[n]));
  const bytes = (value) => new TextEncoder().encode(value);
  const read = async (name) => new TextDecoder().decode(await store.getBlob(name));
  await store.putBlob({ name: "small" }, bytes("one"));
  await store.putBlob({ name: "small" }, bytes("two"));
  show("replaced", await read("small"));
  await store.link("link", await store.info("small"));
  show("through a link", await read("link"));
  await store.update("small", { name: "tiny", description: "renamed" });
  show("by its names", await store.info("small"), await read("tiny"), (await store.info("tiny")).description);
  show("chunks purged", (await store.delete("big")).purged, await store.getBlob("big"));
  show("list", (await store.list()).map((info) => `${info.name}/${info.size}`).sort());
  const watched = (await take(watch, 3)).map((info) => `${info.name}/${info.size}`);
  show("watched", watched);
  const status = await store.status();
  show("status", status.bucket, status.description, status.sealed, status.storage);
  show("sealed", (await store.seal()).sealed);
  await refused("put into a sealed one", () => store.putBlob({ name: "more" }, bytes("")));
  show("destroyed", await store.destroy());
  await refused("no such store", () => objm.open("files", { check: true }));
}
