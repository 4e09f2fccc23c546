// The everyday calls of the JavaScript client, one part a run. NATS_URL says where the server is.
import { buckets } from "./buckets.js";
import { core, login, websocket } from "./core.js";
import { jetstreams } from "./jetstream.js";
import { restart } from "./restart.js";
import { services } from "./services.js";
import { show } from "./everyday.js";

const part = process.argv[2];
await { core, login, websocket, jetstream: jetstreams, restart, buckets, services }[part]();
show("done", part);
process.exit(0);
