// Through a WebSocket: core NATS from Node, and any part that a browser can do from one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { wsconnect } from "@nats-io/transport-node";
import WebSocket from "ws";
import { calls } from "./core.js";

const SERVER = process.env.NATS_WS_URL;

export async function websocket() {
  globalThis.WebSocket ??= WebSocket;
  await calls(await wsconnect({ servers: SERVER }));
}

// Lets the browser that BROWSER names do a part, by a page on the loopback address, and prints what that sends back.
export async function browser(part) {
  const { outputFiles: [bundle] } = await build({
    absWorkingDir: fileURLToPath(new globalThis.URL(".", import.meta.url)),
    entryPoints: ["page.js"],
    bundle: true,
    write: false,
    format: "esm",
    alias: { "@nats-io/transport-node": "./page-transport.js" },
    define: { "process.env.NATS_URL": JSON.stringify(SERVER) },
  });
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const pages = createServer((request, response) => {
    if (request.method === "POST") {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => tell(JSON.parse(Buffer.concat(parts).toString())));
      return response.end();
    }
    const [type, body] = request.url === `/?${part}` ? ["text/html", PAGE] : ["text/javascript", bundle.contents];
    response.writeHead(request.url === "/favicon.ico" ? 404 : 200, { "Content-Type": type });
    response.end(body);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  const profile = await mkdtemp(join(tmpdir(), "natterjack-browser-"));
  // Nothing is fetched that the page does not ask for. As root there is no sandbox.
  const flags = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`,
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
  const program = spawn(process.env.BROWSER, [...flags, `http://127.0.0.1:${pages.address().port}/?${part}`], { stdio: "ignore" });
  const ended = once(program, "exit");
  ended.then(([code]) => tell({ lines: [], error: `the browser ended with ${code}` }));
  // Before somebody loses patience with us, who would not end the browser.
  setTimeout(() => tell({ lines: [], error: "the page does not come to its end" }), 50_000);
  const { lines, error } = await told;
  program.kill();
  await ended;
  await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  lines.forEach((line) => console.log(line));
  if (error) throw new Error(error);
}

const PAGE = '<!doctype html><meta charset="utf-8"><title>natterjack</title><script type="module" src="/page.js"></script>';
