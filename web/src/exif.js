// EXIF, which is a TIFF without a picture.

import {latin1} from "./inspect.js";

const ORIENTATION = 0x112, CAMERA = 0x8769, WIDTH = 0xa002, HEIGHT = 0xa003;

/** How the stored pixels lie, 1 to 8; in `exif` it is 1 from now on, so that nobody turns them a second time. */
export function takeOrientation(exif) {
  try {
    const tags = new Tags(exif), found = tags.get(tags.first, ORIENTATION);
    tags.set(tags.first, ORIENTATION, 1);
    return found >= 1 && found <= 8 ? found : 1;
  } catch {
    return 1; // there is none, or it is damaged
  }
}

/** EXIF for a result: of its size, without the original's preview; undefined if it is damaged. */
export function resultExif(exif, width, height) {
  try {
    const bytes = exif.slice(), tags = new Tags(bytes), camera = tags.get(tags.first, CAMERA);
    tags.endWith(tags.first);
    if (camera) {
      tags.set(camera, WIDTH, width);
      tags.set(camera, HEIGHT, height);
    }
    return bytes;
  } catch {
    return undefined;
  }
}

/** Tags of one number, in directories by their offsets. A RangeError says that they are damaged. */
class Tags {
  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.little = latin1(bytes.subarray(0, 2)) === "II";
    if (this.#short(2) !== 42) throw new RangeError("no EXIF");
    this.first = this.#long(4);
  }

  get(directory, tag) {
    const at = this.#find(directory, tag);
    return at && (this.#isLong(at) ? this.#long(at + 8) : this.#short(at + 8));
  }

  set(directory, tag, value) {
    const at = this.#find(directory, tag);
    if (at && this.#isLong(at)) this.view.setUint32(at + 8, value, this.little);
    else if (at) this.view.setUint16(at + 8, Math.min(value, 0xffff), this.little);
  }

  /** Let no directory follow. */
  endWith(directory) {
    this.view.setUint32(directory + 2 + 12 * this.#short(directory), 0, this.little);
  }

  #find(directory, tag) {
    const places = Array.from({length: this.#short(directory)}, (_, i) => directory + 2 + 12 * i);
    return places.find(at => this.#short(at) === tag);
  }

  #isLong(at) {
    return this.#short(at + 2) === 4;
  }

  #short(at) {
    return this.view.getUint16(at, this.little);
  }

  #long(at) {
    return this.view.getUint32(at, this.little);
  }
}
