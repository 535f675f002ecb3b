// Pixels out of files and back: decoding, what hides under transparency, bicubic.

import {takeOrientation} from "./exif.js";
import {latin1, UserError} from "./inspect.js";

/**
 * @param bytes Uint8Array, a picture file, whose orientation is taken out; @param file what `inspect` found of it.
 * @returns width, height, data (RGBA, upright, not premultiplied), hasAlpha; isRaw: the values are the file's own, and
 *   mean what its profile says; otherwise they are sRGB.
 * @throws UserError it can't be decoded.
 */
export async function decode(bytes, file) {
  const isKnown = !["AVIF", "HEIC"].includes(file.format) && !file.isInk && hasFittingProfile(file);
  const isRaw = isKnown && (await keepsRawColours());
  // Browsers turn some formats and others not: none is left to them.
  const orientation = takeOrientation(file.exif);
  const bitmap = await createImageBitmap(new Blob([bytes]), {
    premultiplyAlpha: "none", colorSpaceConversion: isRaw ? "none" : "default",
  }).catch(() => {
    const isMissing = file.format === "HEIC" ? "; Safari reads HEIC" : "";
    throw new UserError(`can't be decoded: a damaged ${file.format}, or one that this browser doesn't know${isMissing}`);
  });
  try {
    const stored = readBitmap(bitmap);
    let hasAlpha = false;
    for (let i = 3; i < stored.data.length && !hasAlpha; i += 4) hasAlpha = stored.data[i] < 255;
    return {...upright(stored, orientation), hasAlpha, isRaw};
  } finally {
    bitmap.close();
  }
}

/** Whether a result can have the file's profile, too, if it has one: only grey PNGs come back as grey files. */
function hasFittingProfile({profile, format, isGrey}) {
  const space = profile && latin1(profile.subarray(16, 20));
  return !profile || space === (isGrey && format === "PNG" ? "GRAY" : "RGB ");
}

function upright({width, height, data}, orientation) {
  if (orientation === 1) return {width, height, data};
  const isOnItsSide = orientation >= 5, [w, h] = isOnItsSide ? [height, width] : [width, height];
  const from = new Uint32Array(data.buffer), to = new Uint32Array(from.length);
  const [mirrored, upsideDown] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const [column, row] = isOnItsSide ? [y, x] : [x, y];
      to[i] = from[(upsideDown ? height - 1 - row : row) * width + (mirrored ? width - 1 - column : column)];
    }
  }
  return {width: w, height: h, data: new Uint8ClampedArray(to.buffer)};
}

/** A canvas multiplies colours by alpha: only in half floats are all of them still there after the division. */
function readBitmap(bitmap) {
  const options = {colorType: "float16", willReadFrequently: true};
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", options);
  if (!context) throw new UserError("is too large for this browser's canvas");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

// A red pixel under a profile in which red and blue have changed places.
const SWAPPED = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAAy2lDQ1BJQ0MgUHJvZmlsZQAAeJxjYGDcwQAETAIMDLl5JUVB7k4KEZFRCuyvGBiBEAwSk4sLGPCCb9cgai/r4leHFXCmpBYnA+kPQByTXFBUwsDA6ANk85SXFIDYEUC2SBHQUUB2DoidDmE3gNhJEPYUsJqQIGcgewWQLZCOxE5CYkPtAnu5ggzH4gMlqRUlIBpkLigMIaKIsEGIqSxgYOBvYWDYdh4hljSTgWF7KwODxC2EWP4iBgaLrwwMzBOSS4vKoNYwMhkzMAAA2CY0M52GiPYAAAAMSURBVHicY/jPwAAAAwEBAMn+ku8AAAAASUVORK5CYII=";
let rawColours;

/** Whether this browser gives a file's own values if it is asked to. */
function keepsRawColours() {
  return (rawColours ??= (async () => {
    const blob = new Blob([Uint8Array.from(atob(SWAPPED), letter => letter.charCodeAt(0))], {type: "image/png"});
    const {data} = readBitmap(await createImageBitmap(blob, {colorSpaceConversion: "none"}));
    return data[0] === 255 && data[2] === 0;
  })().catch(() => false));
}

/** Whether a canvas gives back what was put into it: some browsers add noise, against being recognised. */
export function canvasIsExact() {
  const context = new OffscreenCanvas(64, 64).getContext("2d", {willReadFrequently: true});
  const put = new ImageData(64, 64);
  for (let i = 0; i < put.data.length; i++) put.data[i] = i % 4 === 3 ? 255 : (i * 37) % 251;
  context.putImageData(put, 0, 0);
  return context.getImageData(0, 0, 64, 64).data.every((value, i) => value === put.data[i]);
}

/**
 * The same plane enlarged by bicubic (a = -0.5), as PyTorch does it with antialiasing.
 * @param plane width * height numbers; @returns Float32Array of scale * width times scale * height.
 */
export function bicubic(plane, width, height, scale) {
  const columns = taps(width, scale), rows = taps(height, scale), wide = width * scale;
  const across = new Float32Array(wide * height), out = new Float32Array(wide * height * scale);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < wide; x++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += columns.weights[4 * x + k] * plane[y * width + columns.from[4 * x + k]];
      across[y * wide + x] = sum;
    }
  }
  for (let y = 0; y < height * scale; y++) {
    for (let k = 0; k < 4; k++) {
      const weight = rows.weights[4 * y + k], from = rows.from[4 * y + k] * wide, to = y * wide;
      for (let x = 0; x < wide; x++) out[to + x] += weight * across[from + x];
    }
  }
  return out;
}

function taps(length, scale) {
  const from = new Int32Array(4 * length * scale), weights = new Float32Array(from.length);
  for (let i = 0; i < length * scale; i++) {
    const centre = (i + 0.5) / scale - 0.5, first = Math.floor(centre) - 1;
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      const at = first + k, inside = at >= 0 && at < length, d = Math.abs(centre - at);
      const weight = d < 1 ? (1.5 * d - 2.5) * d * d + 1 : ((-0.5 * d + 2.5) * d - 4) * d + 2;
      from[4 * i + k] = inside ? at : 0;
      weights[4 * i + k] = inside ? weight : 0;
      sum += weights[4 * i + k];
    }
    for (let k = 0; k < 4; k++) weights[4 * i + k] /= sum;
  }
  return {from, weights};
}

/** Give fully transparent pixels the mean of the visible colours around them, in place: theirs is chance. */
export function spreadColours({width, height, data}) {
  const count = width * height, weights = new Float32Array(count), colours = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) {
    weights[i] = data[4 * i + 3] > 0 ? 1 : 0;
    for (let c = 0; c < 3; c++) colours[c * count + i] = data[4 * i + c];
  }
  if (!weights.includes(0) || !weights.includes(1)) return;
  const spread = filled(colours, weights, width, height);
  for (let i = 0; i < count; i++) if (!weights[i]) for (let c = 0; c < 3; c++) data[4 * i + c] = spread[c * count + i];
}

/** Fill where the weights (0 or 1) are 0 from a coarser grid, itself filled from a coarser one. */
function filled(colours, weights, width, height) {
  if (!weights.includes(0)) return colours;
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)], coarse = new Float32Array(3 * w * h);
  const coarseWeights = new Float32Array(w * h);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x, to = (y >> 1) * w + (x >> 1);
      coarseWeights[to] += weights[i];
      for (let c = 0; c < 3; c++) coarse[c * w * h + to] += colours[c * width * height + i] * weights[i];
    }
  }
  for (let i = 0; i < w * h; i++) {
    for (let c = 0; c < 3; c++) coarse[c * w * h + i] /= Math.max(coarseWeights[i], 1e-6);
    coarseWeights[i] = coarseWeights[i] > 0 ? 1 : 0;
  }
  const from = filled(coarse, coarseWeights, w, h), out = colours.slice();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (weights[y * width + x]) continue;
      const [top, down] = between(y, height, h), [left, right] = between(x, width, w);
      for (let c = 0; c < 3; c++) {
        const value = (row, column) => from[c * w * h + row * w + column];
        const [above, below] = [top, Math.min(top + 1, h - 1)].map(row =>
          value(row, left) * (1 - right) + value(row, Math.min(left + 1, w - 1)) * right);
        out[c * width * height + y * width + x] = above * (1 - down) + below * down;
      }
    }
  }
  return out;
}

/** Where a pixel lies on a coarser axis: the pixel before it, and how far behind that. */
function between(i, length, coarse) {
  const at = Math.max(((i + 0.5) * coarse) / length - 0.5, 0);
  return [Math.floor(at), at - Math.floor(at)];
}
