// One picture at a time, from a file to a file. It is ended to cancel, and another one started.

import {suitedNetwork} from "./choice.js";
import {lossyBlob, pngBlob} from "./encode.js";
import {resultExif} from "./exif.js";
import {inspect, UserError} from "./inspect.js";
import {openNetwork, upscale} from "./network.js";
import {bicubic, canvasIsExact, decode, spreadColours} from "./pixels.js";

const LONGEST_PREVIEW = 1280;
let opened, openedName, last = Promise.resolve();

self.onmessage = ({data}) => (last = last.then(() => handle(data)));

async function handle({id, ...job}) {
  const say = message => self.postMessage({id, ...message});
  try {
    say(job.file ? {result: await enlarged(job, say)} : await prepared(job));
  } catch (error) {
    const isMemory = error instanceof RangeError; // of an array; smaller tiles would be of no use
    const text = isMemory ? "is too large for the memory that is left" : `${error?.message ?? error}`;
    say({error: text, isFinal: isMemory || error instanceof UserError});
  }
}

async function network(name, webgpu) {
  if (openedName !== name) {
    opened = undefined;
    opened = await openNetwork(name, webgpu);
    openedName = name;
  }
  return opened;
}

async function prepared({name, webgpu}) {
  const {engineName, rate} = await network(name, webgpu);
  return {engine: engineName, rate};
}

/**
 * @param job file (a Blob), mostPixels, choice ("" for what suits the file), strength (0 to 1), isPng, tile, webgpu.
 * @returns blob, extension, width, height (of the result), source ([width, height]), network (its name at full strength),
 *   scale, notes, and preview: two PNGs of one part.
 */
async function enlarged({file: blob, mostPixels, choice, strength, isPng, tile, webgpu}, say) {
  const bytes = new Uint8Array(await blob.arrayBuffer().catch(() => {
    throw new UserError("can't be read: is it a folder, or has it changed?");
  }));
  const file = await inspect(bytes);
  checkSize(file, mostPixels);
  const image = await decode(bytes, file);
  checkSize(image, mostPixels);
  const name = choice || suitedNetwork(file, image);
  say({network: name});
  const opened = await network(withStrength(name, strength), webgpu);
  say({rate: opened.rate});
  if (image.hasAlpha) spreadColours(image);
  const isGrey = Boolean(file.isGrey);
  const result = await upscale(opened, image, {isGrey, tile, report: progress => say({progress})});
  say({isSaving: true});
  const {metadata, notes} = kept(file, image, result);
  const preview = await previews(image, result, opened.scale, isGrey, metadata);
  const saved = await encoded(result, {isGrey, hasAlpha: image.hasAlpha}, metadata, file, isPng, notes);
  return {...saved, width: result.width, height: result.height, source: [image.width, image.height], network: name,
    notes, preview, scale: opened.scale};
}

function checkSize({width, height}, most) {
  if (width * height <= most) return;
  const [found, limit] = [width * height, most].map(pixels => `${(pixels / 1e6).toFixed(1)} megapixels`);
  throw new UserError(`has ${width} × ${height} pixels, ${found}: this device takes up to ${limit}`);
}

/** "srgan" at 0 is "srresnet", between them there are mixtures. */
function withStrength(name, strength) {
  if (!name.startsWith("srgan") || strength === 1) return name;
  return strength === 0 ? name.replace("srgan", "srresnet") : `${name}-${strength}`;
}

/** What of a file's metadata holds for the result, and what has to be said. */
function kept(file, image, result) {
  const notes = [];
  if (file.isAnimated) notes.push("the first picture of the animation");
  if (file.isDeep) notes.push("16 bits became 8");
  if (file.isInk) notes.push("CMYK became sRGB as this browser does it");
  else if (file.profile && !image.isRaw) notes.push("colours became sRGB");
  if (!canvasIsExact()) notes.push("this browser adds noise to pictures that pages read, against tracking");
  const exif = file.exif && resultExif(file.exif, result.width, result.height);
  if (file.exif && !exif) notes.push("damaged EXIF was left out");
  if (file.format === "HEIC" || file.format === "AVIF") notes.push(`${file.format}'s metadata were left out`);
  const isColour = ([chunk]) => ["gAMA", "cHRM", "sRGB", "cICP"].includes(chunk);
  const chunks = (file.chunks ?? []).filter(chunk => image.isRaw || !isColour(chunk));
  return {metadata: {profile: image.isRaw ? file.profile : undefined, exif, chunks}, notes};
}

const LOSSY = {JPEG: ["image/jpeg", "jpg"], WebP: ["image/webp", "webp"]};

async function encoded(result, kind, metadata, file, isPng, notes) {
  if (LOSSY[file.format] && !isPng) {
    const [type, extension] = LOSSY[file.format];
    const blob = await lossyBlob(result, type, kind.hasAlpha, metadata);
    if (blob) return {blob, extension};
    notes.push(`a PNG, since this browser can't write such a ${file.format}`);
  }
  return {blob: await pngBlob(result, kind, metadata), extension: "png"};
}

/** The middle of the result and of bicubic's, as PNGs. */
async function previews(image, result, scale, isGrey, {profile, chunks}) {
  const side = Math.floor(LONGEST_PREVIEW / scale), metadata = {profile, chunks: chunks.filter(([name]) => !name.endsWith("Xt"))};
  const [width, height] = [image.width, image.height].map(length => Math.min(length, side));
  const [left, top] = [Math.floor((image.width - width) / 2), Math.floor((image.height - height) / 2)];
  const before = cropped(image, left, top, width, height), kind = {isGrey, hasAlpha: image.hasAlpha};
  const enlarged = {width: width * scale, height: height * scale};
  enlarged.data = new Uint8ClampedArray(4 * enlarged.width * enlarged.height);
  for (let c = 0; c < 4; c++) {
    const plane = Float32Array.from({length: width * height}, (_, i) => before.data[4 * i + c]);
    bicubic(plane, width, height, scale).forEach((value, i) => (enlarged.data[4 * i + c] = value));
  }
  const after = cropped(result, left * scale, top * scale, enlarged.width, enlarged.height);
  return {
    bicubic: await pngBlob(enlarged, kind, metadata), result: await pngBlob(after, kind, metadata),
    width: enlarged.width, height: enlarged.height, isWhole: width === image.width && height === image.height,
  };
}

function cropped({width: whole, data}, left, top, width, height) {
  const out = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((top + y) * whole + left);
    out.set(data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return {width, height, data: out};
}
