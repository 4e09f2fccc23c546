// The everyday calls of the JavaScript client, one part a run, here or (`browser-core`) in a browser. NATS_URL says
// where the server is.
import { buckets } from "./buckets.js";
import { core } from "./core.js";
import { jetstreams } from "./jetstream.js";
import { login } from "./login.js";
import { restart } from "./restart.js";
import { services } from "./services.js";
import { show } from "./everyday.js";
import { browser, websocket } from "./websocket.js";

const [part, place] = process.argv[2].split("-").reverse();
const parts = { core, login, websocket, jetstream: jetstreams, restart, buckets, services };
await (place === "browser" ? browser(part) : parts[part]());
show("done", part);
process.exit(0);
