// The ways to log in.
import { readFileSync } from "node:fs";
import { credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";
import { subscribe } from "./core.js";
import { open, show, until, URL } from "./everyday.js";

// Logs in with what NATS_TOKEN, NATS_CREDS, NATS_SEED or NATS_CA say, and shows whether that is enough.
export async function login() {
  const { NATS_TOKEN: token, NATS_CREDS: creds, NATS_SEED: seed, NATS_CA: caFile } = process.env;
  const options = { servers: URL, reconnect: false };
  if (token) options.token = token;
  if (creds) options.authenticator = credsAuthenticator(readFileSync(creds));
  if (seed) options.authenticator = nkeyAuthenticator(new TextEncoder().encode(readFileSync(seed, "utf8").trim()));
  if (caFile) options.tls = { caFile };
  let nc;
  try {
    nc = await open(options);
  } catch (error) {
    return show("login", "error", error.name, error.message);
  }
  const { next } = subscribe(nc, "foo");
  nc.publish("foo", "hello");
  show("login", (await next()).string(), "TLS", nc.info.tls_required ?? false);
  if (creds) {
    const errors = [];
    (async () => {
      for await (const status of nc.status()) if (status.type === "error") errors.push(status.error.message);
    })();
    nc.publish("secret");
    await until(() => errors.length === 1);
    nc.subscribe("secret", { callback: () => {} });
    await until(() => errors.length === 2);
    show("errors", errors);
  }
  await nc.close();
}
