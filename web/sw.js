/** Answers from the server where it can be reached, from the cache where it cannot. */

// src/offline.js has the same name.
const CACHE = "mobilenet-tf-web-1";

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(self.location.origin)) {
    event.respondWith(answer(event.request));
  }
});

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith("mobilenet-tf-web-") && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    else await cache.delete(request); // A bundle that is no longer served.
    return response;
  } catch (error) {
    const stored = await cache.match(request, { ignoreVary: true });
    if (stored) return stored;
    throw error;
  }
}
