// A part as a browser does it: the calls that Node makes, each connection through a WebSocket.
import { buckets } from "./buckets.js";
import { core } from "./core.js";
import { jetstreams } from "./jetstream.js";
import { services } from "./services.js";

const lines = [];
console.log = (...values) => lines.push(values.map(String).join(" "));
let error;
try {
  await { core, jetstream: jetstreams, buckets, services }[location.search.slice(1)]();
} catch (thrown) {
  error = `${thrown.stack ?? thrown}`;
}
await fetch("/", { method: "POST", body: JSON.stringify({ lines, error }) });
