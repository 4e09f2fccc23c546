// What the parts share: a line for each answer, without what differs from run to run.
import { connect } from "@nats-io/transport-node";

export const URL = process.env.NATS_URL;

export const open = (options = {}) =>
  connect({ servers: URL, timeout: 20_000, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options });

export function show(name, ...values) {
  console.log(`${name}:`, ...values.map((value) => (typeof value === "object" ? JSON.stringify(value) : value)));
}

// Shows the error that a call ends with, which it must.
export async function refused(name, call) {
  try {
    show(name, "accepted", await call());
  } catch (error) {
    const more = error.code && error.status ? `${error.status} ${error.code} ` : "";
    show(name, "error", `${error.name} ${more}${error.message}`);
  }
}

export async function until(condition) {
  for (const deadline = Date.now() + 20_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error("it does not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// The next `count` things that come.
export async function take(things, count) {
  const got = [];
  if (count > 0) {
    for await (const thing of things) {
      got.push(thing);
      if (got.length === count) break;
    }
  }
  return got;
}

export const fields = (headers) => (headers ? Object.fromEntries(headers) : {});
