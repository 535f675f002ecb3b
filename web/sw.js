// Keeps the page for use without a connection, and isolates it: threads need that, and nothing else can be reached.
// The build puts VERSION and FILES before it. A new version takes over once no tab has the old one open.

const PREFIX = "srgan-page-", NAME = PREFIX + VERSION;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  // As in index.html, whose policy doesn't hold for its worker.
  "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    + "connect-src 'self'; img-src 'self' blob:; style-src 'self'; base-uri 'none'; form-action 'none'",
};

const LATER = /\/(networks|ort)\/[^/]+$/;

self.addEventListener("install", event => {
  const requests = FILES.map(file => new Request(file, {cache: "reload"}));
  event.waitUntil(caches.open(NAME).then(cache => cache.addAll(requests)));
});

self.addEventListener("activate", event => {
  const old = async () => (await caches.keys()).filter(name => name.startsWith(PREFIX) && name !== NAME);
  event.waitUntil(old().then(names => Promise.all(names.map(name => caches.delete(name)))).then(() => clients.claim()));
});

self.addEventListener("fetch", event => {
  const {request} = event;
  if (request.method === "GET" && isOfThePage(request.url)) event.respondWith(answer(request));
});

function isOfThePage(url) {
  const {origin, pathname} = new URL(url), root = new URL("./", location).pathname;
  if (origin !== location.origin || !pathname.startsWith(root)) return false;
  const path = pathname.slice(root.length);
  return FILES.includes(path || "./") || LATER.test(url);
}

/** Another project may be served here later, as at localhost:8000: this page mustn't stand in its place for ever. */
async function isReplaced() {
  const signal = AbortSignal.timeout(1000);
  const {status} = await fetch(location.href, {method: "HEAD", cache: "no-store", signal});
  if (status !== 404 && status !== 410) return false;
  await caches.delete(NAME);
  return registration.unregister();
}

async function answer(request) {
  if (request.mode === "navigate" && (await isReplaced().catch(() => false))) return fetch(request);
  let response = await caches.match(request, {cacheName: NAME, ignoreSearch: true});
  if (!response) {
    response = await fetch(request);
    // What isn't there from the start: ONNX Runtime and the networks, once they are used.
    if (response.status === 200 && LATER.test(request.url)) {
      const cache = await caches.open(NAME);
      await cache.put(request, response.clone()).catch(() => {});
    }
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, {status: response.status, statusText: response.statusText, headers});
}
