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
  if (request.method === "GET" && new URL(request.url).origin === location.origin) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(NAME);
  let response = await cache.match(request, {ignoreSearch: true});
  if (!response) {
    response = await fetch(request);
    // What isn't there from the start: ONNX Runtime and the networks, once they are used.
    if (response.status === 200) await cache.put(request, response.clone()).catch(() => {});
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, {status: response.status, statusText: response.statusText, headers});
}
