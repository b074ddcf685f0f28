/** The service worker: the page itself comes from this device, so it opens without a network.
 *
 * Models and runtimes are kept by the page (store.ts), which shows their progress. The build fills in what the page
 * consists of and a version of it.
 */

declare const __SHELL__: string;
declare const __VERSION__: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const SHELL = JSON.parse(__SHELL__) as string[];
/** Other pages of this origin have caches of their own. */
const OURS = `convoy-page ${worker.registration.scope} `;
const CACHE = OURS + __VERSION__;
/** With these the page may use several threads, whatever its host sends. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

worker.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(tidy().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const own = request.url.startsWith(worker.registration.scope);
  if (request.method === "GET" && own) event.respondWith(answer(request));
});

async function tidy(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(OURS) && name !== CACHE) await caches.delete(name);
  }
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const url = new URL(request.url);
  url.search = "";
  url.hash = "";
  if (url.href === worker.registration.scope) url.pathname += "index.html";
  const found = await cache.match(url.href);
  if (!found) return fetch(request);
  const headers = new Headers(found.headers);
  headers.delete("Content-Encoding"); // what is kept is unpacked
  headers.delete("Content-Length");
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(found.body, { status: found.status, headers });
}
