// A network of networks/networks.json in ONNX Runtime: loaded, checked, and run tile by tile as Upscaler does.

import {UserError} from "./inspect.js";
import {bicubic} from "./pixels.js";

const ORT = new URL("./ort/", import.meta.url).href;
const MOST_THREADS = 8;
// Rows of features that are made to pixels at once: they take 8 kB for each LR pixel.
const STRIP = 64;
// Multiplications for each LR pixel, in millions: they foretell how long what is left takes.
const COST = {features: 1.2, reconstruct: 1.05};
const CHECK_SIZE = 24, CHECK_STEP = 499, CHECK_TOLERANCE = 2 / 255;

let engine;

/** ONNX Runtime on WebGPU if there is any, else WebAssembly. @returns ort, providers, name. */
function openEngine(webgpu = true) {
  return (engine ??= (async () => {
    const adapter = webgpu && (await navigator.gpu?.requestAdapter().catch(() => null));
    const ort = await import(`${ORT}${adapter ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`);
    const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency ?? 1, MOST_THREADS) : 1;
    ort.env.wasm.wasmPaths = ORT;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const name = adapter ? "WebGPU" : `WebAssembly, ${threads} thread${threads > 1 ? "s" : ""}`;
    return {ort, providers: [adapter ? "webgpu" : "wasm"], name};
  })());
}

/**
 * @param name in networks.json; @param webgpu false: not even where there is one.
 * @returns the network; its `rate` is measured, in milliseconds for a million multiplications.
 * @throws Error what it computes isn't what PyTorch does.
 */
export async function openNetwork(name, webgpu = true) {
  const folder = new URL("./networks/", import.meta.url);
  const facts = (await (await loaded(new URL("networks.json", folder))).json()).find(entry => entry.name === name);
  if (!facts) throw new Error(`there is no network called ${name}`);
  const {ort, providers, name: engineName} = await openEngine(webgpu);
  const network = {...facts, ort, engineName, sessions: {}};
  for (const part of ["features", "reconstruct"]) {
    const model = new Uint8Array(await (await loaded(new URL(`${name}.${part}.onnx`, folder))).arrayBuffer());
    network.sessions[part] = await ort.InferenceSession.create(model, {executionProviders: providers});
  }
  await check(network);
  return network;
}

async function loaded(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new UserError(`needs ${url.pathname.split("/").pop()}, which can't be loaded: is there a connection?`);
  return response;
}

async function check(network) {
  const planes = Float32Array.from({length: 3 * CHECK_SIZE ** 2}, (_, i) => ((i * 37) % 101) / 100);
  let result;
  for (let i = 0; i < 2; i++) {
    const start = performance.now(); // the second time nothing has to be prepared any more
    const features = await run(network, "features", planes, [1, 3, CHECK_SIZE, CHECK_SIZE]);
    result = await run(network, "reconstruct", features.data, features.dims);
    network.rate = (performance.now() - start) / (CHECK_SIZE ** 2 * (COST.features + COST.reconstruct));
  }
  const isSame = network.check.every((value, i) => Math.abs(result.data[i * CHECK_STEP] - value) <= CHECK_TOLERANCE);
  if (!isSame) throw new Error(`${network.engineName} computes something else than PyTorch on this device`);
}

async function run({ort, sessions}, part, values, dims) {
  const session = sessions[part], tensor = new ort.Tensor("float32", values, dims);
  const results = await session.run({[session.inputNames[0]]: tensor});
  return results[session.outputNames[0]];
}

/**
 * @param image RGBA as of `decode`; @param isGrey the result is the luma of the network's.
 * @param tile side in LR pixels, without its overlap; @param report is told {done, total} in multiplications.
 * @returns width, height, data: RGBA.
 */
export async function upscale(network, image, {isGrey = false, tile = 256, report = () => {}} = {}) {
  const {scale, receptive_radius: far, upsample_radius: near} = network;
  const out = {width: image.width * scale, height: image.height * scale};
  out.data = new Uint8ClampedArray(4 * out.width * out.height);
  const [rows, columns] = [image.height, image.width].map(length => spans(length, tile, far, near));
  const jobs = rows.flatMap(row => columns.map(column => ({row, column})));
  let done = 0;
  const total = jobs.reduce((sum, {row, column}) => sum
    + COST.features * size(row.window) * size(column.window) + COST.reconstruct * size(row.keep) * size(column.keep), 0);
  report({done, total});
  for (const {row, column} of jobs) {
    const [height, width] = [size(row.window), size(column.window)];
    const features = await run(network, "features", planesOf(image, row.window, column.window), [1, 3, height, width]);
    report({done: done += COST.features * height * width, total});
    for (const strip of spans(size(row.keep), STRIP, near, 0)) {
      const [from, to] = strip.window.map(y => y + row.keep[0]);
      const part = cut(features, [from, to], column.keep);
      const sr = await run(network, "reconstruct", part.values, part.dims);
      // In LR pixels of the image: where the strip's first pixel lies, and what of it is of the tile.
      const origin = [row.window[0] + from, column.window[0] + column.keep[0]];
      const rowsOfStrip = strip.keep.map(y => y + origin[0]);
      const core = [Math.max(rowsOfStrip[0], row.core[0]), Math.min(rowsOfStrip[1], row.core[1])];
      paste(sr, out, scale, origin, core, column.core, isGrey);
      report({done: done += COST.reconstruct * size(strip.keep) * size(column.keep), total});
    }
  }
  if (image.hasAlpha) pasteAlpha(image, out, scale);
  return out;
}

/**
 * Cut an axis as `spans` of srgan/upscaling/upscaler.py does, into [from, to]: window (of the image: what the network
 * sees), keep (of the window: what it upsamples) and core (of the image: what the tile gives to the result).
 */
export function spans(length, tile, far, near) {
  const count = Math.max(Math.ceil((length - 2 * far) / tile), 1);
  const step = Math.ceil((length - 2 * far) / count), side = step + 2 * far;
  const starts = Array.from({length: count}, (_, i) => Math.min(i * step, length - side));
  const edges = [0, ...starts.slice(1).map(start => start + far), length];
  return starts.map((start, i) => ({
    window: [start, start + side],
    keep: [Math.max(edges[i] - near - start, 0), Math.min(edges[i + 1] + near - start, side)],
    core: [edges[i], edges[i + 1]],
  }));
}

const size = ([from, to]) => to - from;

/** Three planes in [0, 1] of a part of RGBA. */
function planesOf({width, data}, [top, bottom], [left, right]) {
  const count = (bottom - top) * (right - left), planes = new Float32Array(3 * count);
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, to++) {
      const at = 4 * (y * width + x);
      for (let c = 0; c < 3; c++) planes[c * count + to] = data[at + c] / 255;
    }
  }
  return planes;
}

/** A part of features, 1 x C x H x W. */
function cut({data, dims: [, channels, height, width]}, [top, bottom], [left, right]) {
  const dims = [1, channels, bottom - top, right - left], values = new Float32Array(channels * dims[2] * dims[3]);
  let to = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = top; y < bottom; y++, to += dims[3]) {
      const from = (c * height + y) * width;
      values.set(data.subarray(from + left, from + right), to);
    }
  }
  return {values, dims};
}

/** Write the rows and columns (of the LR image) of a result that are wanted into the whole. */
function paste({data, dims: [, , height, width]}, out, scale, [top, left], rows, columns, isGrey) {
  const count = height * width;
  for (let y = rows[0] * scale; y < rows[1] * scale; y++) {
    let from = (y - top * scale) * width + (columns[0] - left) * scale, to = 4 * (y * out.width + columns[0] * scale);
    for (let x = columns[0] * scale; x < columns[1] * scale; x++, from++, to += 4) {
      const [r, g, b] = [data[from], data[count + from], data[2 * count + from]];
      const luma = 0.299 * r + 0.587 * g + 0.114 * b;
      out.data[to] = 255 * (isGrey ? luma : r);
      out.data[to + 1] = 255 * (isGrey ? luma : g);
      out.data[to + 2] = 255 * (isGrey ? luma : b);
      out.data[to + 3] = 255;
    }
  }
}

function pasteAlpha({width, height, data}, out, scale) {
  const alpha = bicubic(Float32Array.from({length: width * height}, (_, i) => data[4 * i + 3]), width, height, scale);
  for (let i = 0; i < alpha.length; i++) out.data[4 * i + 3] = alpha[i];
}
