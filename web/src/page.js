// What is seen: settings, and a card for each picture.

import {Queue} from "./queue.js";

const $ = id => document.getElementById(id);
// A result and its file take some 150 bytes for each pixel that comes in. Safari and Firefox don't tell the memory.
const GIGABYTES = navigator.deviceMemory ?? 4;
const MOST_PIXELS = Math.min(1.5 * GIGABYTES, 16) * 1e6;
const STRENGTHS = {0: "soft, faithful", 0.25: "rather soft", 0.5: "half-way", 0.75: "rather crisp", 1: "crisp"};
const queue = new Queue();
const unsaved = new Set(); // cards whose result nobody has downloaded

class Card {
  constructor(file) {
    this.file = file;
    this.name = file.name.trim() || "picture";
    this.element = $("card").content.firstElementChild.cloneNode(true);
    this.part = name => this.element.querySelector(name);
    this.urls = [];
    this.part("h2").textContent = this.name;
    for (const name of ["Again", "Cancel", "Remove"]) {
      const button = this.part(`.${name.toLowerCase()}`);
      button.setAttribute("aria-label", `${name}: ${this.name}`);
      button.onclick = () => this[name.toLowerCase()]();
    }
    this.part("progress").setAttribute("aria-label", this.name);
    this.part(".download").addEventListener("click", () => unsaved.delete(this));
    const original = this.part(".original"), view = this.part(".view");
    original.onerror = () => (original.hidden = this.isUnseen = true);
    original.src = this.url(file);
    view.querySelector("input").oninput = event => view.style.setProperty("--at", `${event.target.value}%`);
    this.start();
  }

  start() {
    const {network, strength, format} = readSettings();
    this.job = {
      file: this.file, mostPixels: MOST_PIXELS, choice: network, strength, isPng: format === "png",
      hear: message => this.hear(message),
    };
    this.show("waiting", "waiting");
    this.network = this.progress = undefined;
    queue.add(this.job);
  }

  hear({error, result, network, rate, progress, isSaving}) {
    if (error) this.stop("failed", error);
    else if (result) this.finish(result);
    else if (isSaving) this.show("working", "writing the file");
    else if (network) this.show("working", `loading ${this.network = this.described(network)}`);
    else if (rate) this.rate = rate;
    else if (progress) this.advance(progress);
  }

  advance({done, total}) {
    const now = performance.now();
    this.progress ??= {start: now};
    if (done) this.rate = (now - this.progress.start) / done;
    Object.assign(this.progress, {done, total, at: now});
    this.timer ??= setInterval(() => this.tick(), 250);
    this.tick();
  }

  /** Between two reports of the worker, guess how far it is. */
  tick() {
    const {done, total, at} = this.progress;
    const guess = Math.min(done + (performance.now() - at) / this.rate, 0.99 * total);
    this.show("working", `${this.network}: ${Math.floor((100 * guess) / total)} %, ${timeLeft((total - guess) * this.rate)}`);
    this.part("progress").value = guess / total;
  }

  finish({blob, extension, width, height, source, network, notes, preview, scale}) {
    const download = this.part(".download"), view = this.part(".view");
    this.revoke(1);
    unsaved.add(this);
    download.href = this.url(blob);
    download.download = `${stem(this.name)}_x${scale}.${extension}`;
    download.setAttribute("aria-label", `Download ${download.download}`);
    const sides = {result: `enlarged by ${this.described(network)}`, bicubic: "enlarged by bicubic"};
    for (const [side, text] of Object.entries(sides)) {
      const image = view.querySelector(`.${side}`);
      image.width = preview.width;
      image.height = preview.height;
      image.src = this.url(preview[side]);
      image.alt = `${this.name}, ${text}`;
    }
    view.querySelector("input").setAttribute("aria-label", `${this.name}: per cent that bicubic covers`);
    const shown = preview.isWhole ? [] : [`the middle ${preview.width} × ${preview.height} is shown`];
    const sizes = `${source.join(" × ")} to ${width} × ${height} pixels by ${this.described(network)}`;
    this.summary = [sizes, `${extension.toUpperCase()} of ${megabytes(blob.size)}`, ...notes, ...shown].join("; ");
    this.end("done", this.summary);
  }

  /** In the words of the settings. */
  described(network) {
    const suits = document.querySelector(`#network [value=${network}]`).textContent;
    return `the network ${suits}${hasStrengths(network) ? `, ${STRENGTHS[this.job.strength]}` : ""}`;
  }

  cancel() {
    queue.cancel(this.job);
    this.stop("cancelled", "cancelled");
  }

  again() {
    this.start();
  }

  /** A run that came to nothing leaves the result of an earlier one. */
  stop(state, text) {
    if (this.summary) this.end("done", `${text}; as before: ${this.summary}`);
    else this.end(state, text);
  }

  remove() {
    queue.cancel(this.job);
    this.end("cancelled", "removed");
    this.revoke(0);
    unsaved.delete(this);
    const next = this.element.nextElementSibling?.querySelector(".remove") ?? $("files");
    this.element.remove();
    next.focus();
    tidy();
  }

  end(state, text) {
    clearInterval(this.timer);
    this.timer = undefined;
    this.show(state, text);
    $("status").textContent = `${this.name}: ${text}`;
    tidy();
  }

  show(state, text) {
    const isOver = ["done", "failed", "cancelled"].includes(state), focused = document.activeElement;
    this.element.className = state;
    this.part(".state").textContent = text;
    const bar = this.part("progress");
    bar.hidden = isOver;
    if (state === "waiting" || text.startsWith("loading") || text.startsWith("writing")) bar.removeAttribute("value");
    this.part(".download").hidden = this.part(".view").hidden = state !== "done";
    this.part("figure").hidden = state === "failed";
    this.part(".again").hidden = !isOver;
    this.part(".cancel").hidden = isOver;
    this.part(".original").hidden = state === "done" || Boolean(this.isUnseen);
    // The keyboard would have to begin at the top of the page.
    if (this.element.contains(focused) && focused.closest("[hidden]")) this.part(isOver ? ".again" : ".cancel").focus();
  }

  url(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }

  /** Forget all but the first so many files. */
  revoke(kept) {
    for (const url of this.urls.splice(kept)) URL.revokeObjectURL(url);
  }
}

function timeLeft(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  return seconds < 100 ? `${seconds} s left` : `${Math.round(seconds / 60)} min left`;
}

const megabytes = bytes => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** A name without its ending and the dots that would hide it. */
const stem = name => name.replace(/(.)\.[^.]*$/, "$1").replace(/^[.\s]+/, "") || "picture";

const hasStrengths = network => !network.startsWith("srresnet");

function readSettings() {
  return {network: $("network").value, strength: Number($("strength").value), format: $("format").value};
}

function showSettings() {
  const {network, strength} = readSettings();
  $("strengths").hidden = !hasStrengths(network);
  document.querySelector("output").value = STRENGTHS[strength];
  $("strength").setAttribute("aria-valuetext", STRENGTHS[strength]);
}

/** The field to drop on is small, and the example away, while there are pictures. */
function tidy() {
  const hasPictures = $("pictures").childElementCount > 0;
  document.body.classList.toggle("busy", hasPictures);
  $("beginning").hidden = hasPictures;
  $("all").hidden = document.querySelectorAll("li.done").length < 2;
}

function add(files) {
  $("refused").textContent = files.length ? "" : "Expected a picture's file, found a link or text: save the picture first.";
  $("pictures").prepend(...files.map(file => new Card(file).element));
  tidy();
}

$("limit").textContent = MOST_PIXELS / 1e6;
$("files").onchange = ({target}) => {
  if (target.files.length) add([...target.files]);
  target.value = "";
};
$("example").onclick = async () => {
  const response = await fetch("astronaut.png").catch(() => null);
  if (response?.ok) add([new File([await response.blob()], "astronaut.png", {type: "image/png"})]);
};
$("all").onclick = () => {
  for (const link of document.querySelectorAll("li.done .download")) link.click();
};
$("settings").oninput = showSettings;
$("settings").onsubmit = event => event.preventDefault();
document.onpaste = event => {
  add([...event.clipboardData.files]);
};
let depth = 0;
document.ondragenter = () => document.body.classList.toggle("dragging", ++depth > 0);
document.ondragleave = () => document.body.classList.toggle("dragging", --depth > 0);
document.ondragover = event => event.preventDefault();
document.ondrop = event => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dragging");
  add([...event.dataTransfer.files]);
};
onbeforeunload = event => {
  if (queue.isBusy || unsaved.size) event.preventDefault();
};

/** Let the service worker keep the page for use without a connection; it isolates the page, too, once reloaded. */
async function keep() {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  if (crossOriginIsolated) sessionStorage.removeItem("reloaded");
  else if (!queue.isBusy && !$("pictures").childElementCount && !sessionStorage.getItem("reloaded")) {
    sessionStorage.setItem("reloaded", "yes");
    location.reload();
    return;
  }
}

/** Fetch what may be needed later, and say so. */
async function complete() {
  const names = ["features", "reconstruct"].map(part => `networks/srgan_photo.${part}.onnx`);
  const responses = await Promise.all(names.map(name => fetch(name)));
  if (navigator.serviceWorker?.controller && responses.every(response => response.ok)) {
    $("offline").textContent = "It works without a connection, too.";
  }
}

showSettings();
tidy();
const missing = ["OffscreenCanvas", "CompressionStream", "createImageBitmap", "Worker"].filter(name => !(name in window));
if (missing.length) $("engine").textContent = `This browser is too old for the page: it has no ${missing.join(", no ")}.`;
// It fails in some private windows, and on servers without HTTPS.
await Promise.race([keep().catch(() => {}), new Promise(resolve => setTimeout(resolve, 5000))]);
if (!missing.length) {
  queue.prepare("srgan", ({engine, error}) => {
    $("engine").textContent = engine ? `Ready: ${engine}.` : error;
    if (engine) complete().catch(() => {});
  });
}
