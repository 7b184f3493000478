/** What lets the page work without its server: a service worker, full caches, the last model. */

// sw.js has the same name.
const CACHE = "mobilenet-tf-web-1";
const LAST_MODEL = new URL("../last-model", import.meta.url).href;
const NAME_HEADER = "X-Model-Name";

/**
 * Registers the worker and stores what the page has loaded and the files named here.
 *
 * @param {string[]} addresses of files that the page may need later.
 * @returns {Promise<boolean>} whether the page now works offline.
 */
export async function keepOffline(addresses) {
  if (!navigator.serviceWorker) return false;
  try {
    await navigator.serviceWorker.register(new URL("../sw.js", import.meta.url));
    await navigator.serviceWorker.ready;
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const wanted = new Set([location.origin + location.pathname, ...loaded, ...addresses]);
    const cache = await caches.open(CACHE);
    for (const address of wanted) await store(cache, address);
    return true;
  } catch (error) {
    console.warn("not available offline:", error);
    return false;
  }
}

async function store(cache, address) {
  if (!address.startsWith(location.origin) || (await cache.match(address))) return;
  const response = await fetch(address);
  if (response.ok) await cache.put(address, response);
}

/** Keeps a model of the user's for the next visit. */
export async function saveLastModel(name, bytes) {
  if (!globalThis.caches) return;
  const headers = { [NAME_HEADER]: encodeURIComponent(name) };
  const cache = await caches.open(CACHE);
  await cache.put(LAST_MODEL, new Response(bytes, { headers }));
}

/** @returns {Promise<{name: string, bytes: Uint8Array} | null>} the model kept last. */
export async function readLastModel() {
  if (!globalThis.caches) return null;
  const response = await (await caches.open(CACHE)).match(LAST_MODEL);
  if (!response) return null;
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { name: decodeURIComponent(response.headers.get(NAME_HEADER)), bytes };
}
