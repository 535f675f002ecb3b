// What a picture file says of itself, before it is decoded.

/** What only the user can put right: its message is for the card of the picture. */
export class UserError extends Error {}

// By their first bytes, as a regular expression of Latin-1.
const OTHERS = [
  [/^$/, "is empty"],
  [/^(II\*\0|MM\0\*|II\+\0)/, "is a TIFF or a camera's raw file: save it as PNG or JPEG first, or take demo.py"],
  [/^%PDF/, "is a PDF: save its pages as pictures first"],
  [/^(\xff\x0a|\0\0\0\x0cJXL )/, "is a JPEG XL, which this page doesn't read: save it as PNG or JPEG first"],
  [/^(\0\0\0\x0cjP  |\xff\x4f\xff\x51)/, "is a JPEG 2000, which this page doesn't read: demo.py does"],
  [/^8BPS/, "is a Photoshop file: save it as PNG or JPEG first"],
  [/^(PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf)/, "is an archive: unpack it first"],
  [/^\s*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg/, "is an SVG, which has any size already"],
  [/^(\x1aE\xdf\xa3|....ftyp(isom|mp4|M4V|qt  |avc1|iso\d))/s, "is a film: demo.py takes films"],
];
const UNKNOWN = "isn't a picture that this page knows: it takes JPEG, PNG, WebP, GIF, BMP, AVIF, and HEIC in Safari";

/**
 * @param bytes Uint8Array, the whole file.
 * @returns format, width, height (0 if they aren't known before decoding), and as far as there are any: steps (of the
 *   quantisation table for luminance), isGrey, isDeep (16 bits), isAnimated, hasPalette, isInk (CMYK), profile (ICC),
 *   exif (a TIFF, a part of `bytes`), chunks (of a PNG, to be copied).
 * @throws UserError
 */
export async function inspect(bytes) {
  const head = latin1(bytes.subarray(0, 500));
  if (head.startsWith("\xff\xd8\xff")) return jpeg(bytes);
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return png(bytes);
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return webp(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (/^GIF8[79]a/.test(head) && bytes.length > 13) {
    const isAnimated = latin1(bytes).split("\0!\xf9\x04").length > 2;
    return {format: "GIF", width: view.getUint16(6, true), height: view.getUint16(8, true), isAnimated, hasPalette: true};
  }
  if (head.startsWith("BM") && bytes.length > 54) {
    const [width, height] = [18, 22].map(at => Math.abs(view.getInt32(at, true)));
    return {format: "BMP", width, height, hasPalette: view.getUint16(28, true) <= 8};
  }
  const brand = /^....ftyp(....)/s.exec(head)?.[1];
  if (["avif", "avis"].includes(brand)) return {format: "AVIF", isAnimated: brand === "avis", ...sizeInBoxes(view)};
  if (/^(hei[cxms]|hevc|mif1|msf1)$/.test(brand)) {
    return {format: head.includes("avif") ? "AVIF" : "HEIC", ...sizeInBoxes(view)};
  }
  throw new UserError(OTHERS.find(([pattern]) => pattern.test(head))?.[1] ?? UNKNOWN);
}

function jpeg(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = {format: "JPEG", width: 0, height: 0}, tables = {}, profile = [];
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at++; // a fill byte
      continue;
    }
    if (marker === 0xda) break;
    const end = at + 2 + view.getUint16(at + 2), body = bytes.subarray(at + 4, end);
    if (end > bytes.length) break;
    if (marker === 0xdb) readTables(body, tables);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && body.length >= 6) {
      [found.height, found.width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
      [found.isGrey, found.isInk] = [body[5] === 1, body[5] === 4];
    }
    const start = latin1(body.subarray(0, 12));
    if (marker === 0xe1 && start.startsWith("Exif\0\0")) found.exif ??= body.subarray(6);
    if (marker === 0xe2 && start === "ICC_PROFILE\0") profile[body[12]] = body.subarray(14);
    at = end;
  }
  if (!found.width || !found.height) throw new UserError("is a damaged JPEG: it names no size");
  found.steps = Object.values(tables)[0] ?? [1]; // those of the lowest number come first
  if (profile.length) found.profile = concatenated(profile.filter(Boolean));
  return found;
}

function readTables(body, tables) {
  for (let at = 0; at < body.length;) {
    const wide = body[at] >> 4 ? 2 : 1, steps = [];
    for (let i = 0; i < 64; i++) steps.push(wide === 2 ? body[at + 1 + 2 * i] * 256 + body[at + 2 + 2 * i] : body[at + 1 + i]);
    if (at + 1 + 64 * wide > body.length) return;
    tables[body[at] & 15] = steps;
    at += 1 + 64 * wide;
  }
}

const COPIED = ["tEXt", "zTXt", "iTXt", "gAMA", "cHRM", "sRGB", "cICP", "pHYs"];

async function png(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 33 || latin1(bytes.subarray(12, 16)) !== "IHDR") throw new UserError("is a damaged PNG");
  const [depth, kind] = [bytes[24], bytes[25]];
  const found = {
    format: "PNG", width: view.getUint32(16), height: view.getUint32(20),
    isGrey: kind === 0 || kind === 4, isDeep: depth === 16, hasPalette: kind === 3, chunks: [],
  };
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), name = latin1(bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) break;
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (COPIED.includes(name)) found.chunks.push([name, body.slice()]);
    if (name === "acTL") found.isAnimated = true;
    if (name === "eXIf") found.exif = body;
    if (name === "iCCP") found.profile = await inflated(body.subarray(body.indexOf(0) + 2)).catch(() => undefined);
    at += 12 + length;
  }
  return found;
}

function webp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = {format: "WebP", width: 0, height: 0};
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = latin1(bytes.subarray(at, at + 4)), length = view.getUint32(at + 4, true), body = at + 8;
    if (body + Math.min(length, 10) > bytes.length) break;
    if (name === "VP8X" && length >= 10) {
      found.isAnimated = Boolean(bytes[body] & 2);
      [found.width, found.height] = [4, 7].map(k => 1 + (view.getUint16(body + k, true) | (bytes[body + k + 2] << 16)));
    } else if (name === "VP8 " && length >= 10 && !found.width) {
      [found.width, found.height] = [6, 8].map(k => view.getUint16(body + k, true) & 0x3fff);
    } else if (name === "VP8L" && length >= 5 && !found.width) {
      const bits = view.getUint32(body + 1, true);
      [found.width, found.height] = [1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)];
    }
    if (name === "ICCP") found.profile = bytes.slice(body, body + length);
    if (name === "EXIF") {
      const exif = bytes.subarray(body, body + length);
      found.exif = latin1(exif.subarray(0, 6)) === "Exif\0\0" ? exif.subarray(6) : exif;
    }
    at = body + length + (length & 1);
  }
  if (!found.width) throw new UserError("is a damaged WebP: it names no size");
  return found;
}

/** The largest size that AVIF's or HEIC's boxes name. */
function sizeInBoxes(view) {
  let [width, height] = [0, 0];
  const text = latin1(new Uint8Array(view.buffer, view.byteOffset, Math.min(view.byteLength, 65536)));
  for (let at = text.indexOf("ispe"); at >= 0 && at + 16 <= text.length; at = text.indexOf("ispe", at + 4)) {
    const [w, h] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (w * h > width * height) [width, height] = [w, h];
  }
  return {width, height};
}

/** Each byte as a letter of the same number; the decoder that is called latin1 is another, windows-1252. */
export function latin1(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 32768) parts.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
  return parts.join("");
}

export function concatenated(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
