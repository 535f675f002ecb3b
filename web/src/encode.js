// Results as files, with the metadata of their originals.

import {concatenated, latin1} from "./inspect.js";

const ascii = text => Uint8Array.from(text, letter => letter.charCodeAt(0));

/**
 * A PNG file of RGBA pixels; a canvas would lose values under transparency, and is too small for a large result.
 * @param image width, height, data; @param isGrey, hasAlpha what of the four channels is stored;
 * @param metadata profile, exif and chunks, as of `inspect`.
 * @returns a Blob.
 */
export async function pngBlob({width, height, data}, {isGrey, hasAlpha}, {profile, exif, chunks = []} = {}) {
  const channels = isGrey ? (hasAlpha ? [0, 3] : [0]) : hasAlpha ? [0, 1, 2, 3] : [0, 1, 2];
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, {1: 0, 2: 4, 3: 2, 4: 6}[channels.length]);
  const parts = [ascii("\x89PNG\r\n\x1a\n"), chunk("IHDR", new Uint8Array(header.buffer))];
  if (profile) {
    const compressed = await deflated(new Blob([profile]).stream());
    parts.push(chunk("iCCP", concatenated([ascii("ICC Profile\0\0"), compressed])));
  }
  for (const [name, body] of chunks) if (!(profile && name === "sRGB")) parts.push(chunk(name, body));
  if (exif) parts.push(chunk("eXIf", exif));
  parts.push(chunk("IDAT", await deflated(filteredRows(width, height, data, channels))));
  parts.push(chunk("IEND", new Uint8Array()));
  return new Blob(parts, {type: "image/png"});
}

/** A stream of rows as differences by the Paeth filter. */
function filteredRows(width, height, data, channels) {
  const count = channels.length, length = count * width;
  let y = 0, before = new Uint8Array(length);
  return new ReadableStream({
    pull(controller) {
      if (y === height) {
        controller.close();
        return;
      }
      const row = new Uint8Array(length), filtered = new Uint8Array(length + 1);
      for (let x = 0, i = 0; x < width; x++) for (const c of channels) row[i++] = data[4 * (y * width + x) + c];
      filtered[0] = 4;
      for (let i = 0; i < length; i++) {
        const left = i < count ? 0 : row[i - count], up = before[i], corner = i < count ? 0 : before[i - count];
        const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
        filtered[i + 1] = row[i] - (a <= b && a <= c ? left : b <= c ? up : corner);
      }
      before = row;
      y++;
      controller.enqueue(filtered);
    },
  });
}

async function deflated(stream) {
  return new Uint8Array(await new Response(stream.pipeThrough(new CompressionStream("deflate"))).arrayBuffer());
}

const CRC = Int32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function chunk(name, body) {
  const bytes = new Uint8Array(body.length + 12), view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  bytes.set(ascii(name), 4);
  bytes.set(body, 8);
  let crc = -1;
  for (let i = 4; i < body.length + 8; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(body.length + 8, ~crc);
  return bytes;
}

/**
 * A JPEG or a WebP file, as this browser makes them; undefined if it doesn't, or its canvas can't hold the image.
 * @param type "image/jpeg" or "image/webp".
 */
export async function lossyBlob({width, height, data}, type, hasAlpha, metadata = {}) {
  try {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d", {willReadFrequently: true}).putImageData(new ImageData(data, width, height), 0, 0);
    const blob = await canvas.convertToBlob({type, quality: 0.95});
    if (blob.type !== type) return undefined;
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const parts = type === "image/jpeg" ? jpegParts(bytes, metadata) : webpParts(bytes, width, height, hasAlpha, metadata);
    return new Blob(parts, {type});
  } catch {
    return undefined;
  }
}

function jpegParts(bytes, {profile, exif}) {
  const {start, rest} = withoutProfile(bytes), added = [];
  if (exif && exif.length < 65500) added.push(segment(0xe1, concatenated([ascii("Exif\0\0"), exif])));
  const count = Math.ceil((profile?.length ?? 0) / 65000);
  for (let i = 0; i < count; i++) {
    const head = concatenated([ascii("ICC_PROFILE\0"), new Uint8Array([i + 1, count])]);
    added.push(segment(0xe2, concatenated([head, profile.subarray(65000 * i, 65000 * (i + 1))])));
  }
  return [start, ...added, rest];
}

function webpParts(bytes, width, height, hasAlpha, {profile, exif}) {
  const header = new DataView(new ArrayBuffer(10));
  header.setUint8(0, (profile ? 0x20 : 0) | (hasAlpha ? 0x10 : 0) | (exif ? 8 : 0));
  for (const [at, length] of [[4, width - 1], [7, height - 1]]) {
    header.setUint16(at, length & 0xffff, true);
    header.setUint8(at + 2, length >> 16);
  }
  const parts = [riff("VP8X", new Uint8Array(header.buffer))];
  if (profile) parts.push(riff("ICCP", profile));
  const view = new DataView(bytes.buffer);
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = latin1(bytes.subarray(at, at + 4)), length = view.getUint32(at + 4, true);
    if (["ALPH", "VP8 ", "VP8L"].includes(name)) parts.push(riff(name, bytes.subarray(at + 8, at + 8 + length)));
    at += 8 + length + (length & 1);
  }
  if (exif) parts.push(riff("EXIF", exif));
  return [riff("RIFF", concatenated([ascii("WEBP"), ...parts]))];
}

function riff(name, body) {
  const bytes = new Uint8Array(8 + body.length + (body.length & 1));
  bytes.set(ascii(name));
  new DataView(bytes.buffer).setUint32(4, body.length, true);
  bytes.set(body, 8);
  return bytes;
}

function segment(marker, body) {
  const length = body.length + 2;
  return concatenated([new Uint8Array([0xff, marker, length >> 8, length & 255]), body]);
}

/** A JPEG file in two: up to behind JFIF's segment, and the rest, without a profile. */
function withoutProfile(bytes) {
  const isOf = (at, marker, text) => bytes[at + 1] === marker && latin1(bytes.subarray(at + 4, at + 4 + text.length)) === text;
  const after = at => at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
  const cut = isOf(2, 0xe0, "JFIF") ? after(2) : 2;
  let from = cut;
  while (isOf(from, 0xe2, "ICC_PROFILE")) from = after(from);
  return {start: bytes.subarray(0, cut), rest: bytes.subarray(from)};
}
