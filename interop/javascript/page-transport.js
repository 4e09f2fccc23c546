// The client as a browser has it: it connects through WebSockets only.
export * from "@nats-io/nats-core";
export { wsconnect as connect } from "@nats-io/nats-core";
