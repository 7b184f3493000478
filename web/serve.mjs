/** Serves the page on this computer: node web/serve.mjs [--port N] [--bundle DIR] */

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const HOST = "127.0.0.1";
// Not 8000: the page's service worker must not meet another project's page.
const DEFAULT_PORT = 8420;
const PORTS_TO_TRY = 20;
const SERVED = ["index.html", "style.css", "sw.js", "src", "node_modules"];
const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

class UsageError extends Error {}

/**
 * Starts the server on the first free port.
 *
 * @param {{port?: number, bundle?: string}} options
 * @returns {Promise<{server: import("node:http").Server, url: string, port: number}>}
 */
export async function startServer({ port = DEFAULT_PORT, bundle } = {}) {
  const server = createServer((request, response) => answer(request, response, bundle));
  for (let tried = 0; tried < PORTS_TO_TRY; tried++) {
    if (await listen(server, port + tried)) {
      const { port: taken } = server.address();
      return { server, url: `http://localhost:${taken}/`, port: taken };
    }
  }
  throw new Error(
    `one port must be free; name another with PORT. Received: ${port} to ${port + PORTS_TO_TRY - 1}`,
  );
}

function listen(server, port) {
  return new Promise((done, failed) => {
    server.once("error", (error) => (error.code === "EADDRINUSE" ? done(false) : failed(error)));
    server.listen(port, HOST, () => done(true));
  });
}

function answer(request, response, bundle) {
  // Both together allow threads in WebAssembly.
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Cache-Control", "no-cache");
  const path = filePath(request.url, bundle);
  if (!["GET", "HEAD"].includes(request.method)) return end(response, 405);
  if (!path || !statSync(path, { throwIfNoEntry: false })?.isFile()) return end(response, 404);
  send(request, response, path);
}

function end(response, status) {
  response.writeHead(status, { "Content-Type": "text/plain" });
  response.end(`${status}\n`);
}

function send(request, response, path) {
  const { size, mtimeMs } = statSync(path);
  const tag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
  response.setHeader("ETag", tag);
  if (request.headers["if-none-match"] === tag) {
    response.writeHead(304);
    response.end();
    return;
  }
  response.writeHead(200, {
    "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
    "Content-Length": size,
  });
  if (request.method === "HEAD") return response.end();
  createReadStream(path).on("error", () => response.destroy()).pipe(response);
}

// The file of an address; null for what is not ours to show.
function filePath(url, bundle) {
  let parts;
  try {
    const path = decodeURIComponent(new URL(url, "http://localhost").pathname);
    parts = normalize(path).split(sep).filter(Boolean);
  } catch {
    return null;
  }
  if (parts.some((part) => part.startsWith(".") || part.includes("\0"))) return null;
  if (parts.length === 0) return join(HERE, "index.html");
  if (parts[0] === "bundle") return bundle ? join(bundle, ...parts.slice(1)) : null;
  return SERVED.includes(parts[0]) ? join(HERE, ...parts) : null;
}

function readOptions(argv) {
  const { values } = parseOptions(argv);
  const port = values.port === undefined ? DEFAULT_PORT : Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65535 - PORTS_TO_TRY) {
    throw new UsageError(`the port must be a number from 1 to 65515. Received: ${values.port}`);
  }
  const bundle = values.bundle === undefined ? undefined : resolve(values.bundle);
  if (bundle && !existsSync(join(bundle, "golden.json"))) {
    throw new UsageError(
      "a bundle is a folder with golden.json; write one with convert_tflite.py --bundle. " +
        `Received: ${values.bundle}`,
    );
  }
  return { port, bundle };
}

function parseOptions(argv) {
  const options = { port: { type: "string" }, bundle: { type: "string" } };
  try {
    return parseArgs({ args: argv, options });
  } catch (error) {
    throw new UsageError(error.message.split("\n")[0]);
  }
}

async function main(argv) {
  const options = readOptions(argv);
  const { url, port } = await startServer(options);
  if (port !== options.port) console.error(`note: port ${options.port} is taken`);
  console.log(`open ${url}   (Ctrl+C ends it)`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(`error: ${error.message}`);
    process.exit(error instanceof UsageError ? 2 : 1);
  });
}
