// Which of the released networks suits a file, as srgan/application/choice.py chooses it.

const CLEAN = "srgan", PHOTO = "srgan_photo";
const HIGH_QUALITY = 95, MEAN_STEP = 3688 / 64, GRID_EXCESS = 0.15, GRID_WINDOW = 128;

/** @param file what `inspect` found; @param image its decoded pixels. */
export function suitedNetwork(file, image) {
  if (file.format === "JPEG") return jpegQuality(file.steps) < HIGH_QUALITY ? PHOTO : CLEAN;
  const compressed = ["WebP", "AVIF", "HEIC"].includes(file.format) || (!file.hasPalette && hasJpegGrid(image));
  return compressed ? PHOTO : CLEAN;
}

/** The quality, as libjpeg scales it (1 to 100), by the steps of the quantisation table for luminance. */
export function jpegQuality(steps) {
  const relative = steps.reduce((sum, step) => sum + step, 0) / steps.length / MEAN_STEP;
  return relative < 1 ? 100 - 50 * relative : 50 / relative;
}

/** Whether pixels have been a JPEG and weren't resized since: in its blocks many coefficients of the DCT are still 0. */
export function hasJpegGrid({width, height, data}) {
  const [left, top] = [width, height].map(side => Math.floor(Math.max(side - GRID_WINDOW, 0) / 2));
  const [columns, rows] = [Math.min(GRID_WINDOW + 7, width - left), Math.min(GRID_WINDOW + 7, height - top)];
  const luma = Float32Array.from({length: columns * rows}, (_, i) => {
    const at = 4 * ((top + Math.floor(i / columns)) * width + left + i % columns);
    return (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16; // as Pillow rounds it
  });
  const shares = Array.from({length: 64}, (_, i) => shareNearZero(luma, columns, rows, i % 8, i >> 3));
  shares.sort((a, b) => b - a);
  return shares[0] - shares[1] > GRID_EXCESS;
}

const BASIS = Array.from({length: 8}, (_, k) =>
  Array.from({length: 8}, (_, n) => Math.cos((Math.PI * (2 * n + 1) * k) / 16) * Math.sqrt((k ? 2 : 1) / 8)));

/** Of the AC coefficients of the 8 x 8 blocks from an offset on, those near 0; flat blocks don't count. */
function shareNearZero(luma, columns, rows, left, top) {
  const half = new Float32Array(64);
  let near = 0, all = 0;
  for (let y = top; y + 8 <= rows; y += 8) {
    for (let x = left; x + 8 <= columns; x += 8) {
      for (let i = 0; i < 8; i++) {
        for (let k = 0; k < 8; k++) {
          let sum = 0;
          for (let n = 0; n < 8; n++) sum += BASIS[k][n] * luma[(y + i) * columns + x + n];
          half[8 * i + k] = sum;
        }
      }
      let small = 0, isFlat = true;
      for (let i = 1; i < 64; i++) {
        let sum = 0;
        for (let n = 0; n < 8; n++) sum += BASIS[i >> 3][n] * half[8 * n + (i & 7)];
        small += Math.abs(sum) < 0.5;
        isFlat &&= Math.abs(sum) <= 2;
      }
      if (!isFlat) {
        near += small;
        all += 63;
      }
    }
  }
  return all ? near / all : 0;
}
