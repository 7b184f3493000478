/** Pictures: from a file to upright opaque pixels, and from those to a network's input. */

import { UserError } from "./errors.js";

// What files of the formats that every browser reads start with, in Latin-1.
const STARTS = ["\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF8", "BM"];

// The largest canvas of every browser; larger photographs are scaled down to it first.
const MAX_PIXELS = 16_777_216;

/**
 * Decodes an image as the project's evaluation does: upright, transparency on white.
 *
 * @param {Blob} blob any image format that the browser reads.
 * @param {string} name for messages.
 * @param {string} [advice] what to do about an image that cannot be read.
 * @returns {Promise<HTMLCanvasElement>}
 */
export async function decodePicture(blob, name, advice) {
  let bitmap;
  try {
    // Python's reader ignores colour profiles, too.
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new UserError(
      (await startsLikeImage(blob))
        ? `${name} is cut off or damaged; ${advice ?? "copy it again, or open another"}.`
        : `${name} is not an image that this browser can read; ${advice ?? "try JPEG or PNG"}.`,
    );
  }
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(bitmap.width * scale));
  canvas.height = Math.max(1, Math.floor(bitmap.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

async function startsLikeImage(blob) {
  const bytes = new Uint8Array(await blob.slice(0, 8).arrayBuffer());
  const text = String.fromCharCode(...bytes);
  return STARTS.some((start) => text.startsWith(start));
}

/**
 * The pixels of a canvas, stretched to a network's input.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width of the input.
 * @param {number} height of the input.
 * @returns {ImageData}
 */
export function readInput(canvas, width, height) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return new ImageData(stretch(data, canvas.width, canvas.height, width, height), width, height);
}

/**
 * Stretches a whole opaque RGBA image: bilinear, no crop, no antialiasing.
 *
 * Fractions are cut off, not rounded, so that the bytes are those of the Python evaluation.
 *
 * @param {Uint8ClampedArray} rgba of the source, sourceHeight * sourceWidth * 4.
 * @returns {Uint8ClampedArray} height * width * 4, RGBA.
 */
export function stretch(rgba, sourceWidth, sourceHeight, width, height) {
  const columns = sampleAxis(sourceWidth, width);
  const rows = sampleAxis(sourceHeight, height);
  const result = new Uint8ClampedArray(width * height * 4).fill(255);
  let pixel = 0;
  for (const row of rows) {
    const above = row.first * sourceWidth;
    const below = row.second * sourceWidth;
    for (const column of columns) {
      for (let channel = 0; channel < 3; channel++) {
        const top = mix(rgba, above, column, channel);
        const bottom = mix(rgba, below, column, channel);
        result[pixel + channel] = Math.floor(top + (bottom - top) * row.weight);
      }
      pixel += 4;
    }
  }
  return result;
}

function mix(rgba, rowStart, { first, second, weight }, channel) {
  const a = rgba[(rowStart + first) * 4 + channel];
  return a + (rgba[(rowStart + second) * 4 + channel] - a) * weight;
}

// For each pixel of the result, the two source pixels around its centre and the second's weight.
function sampleAxis(sourceSize, size) {
  return Array.from({ length: size }, (_, i) => {
    const position = ((i + 0.5) * sourceSize) / size - 0.5;
    const before = Math.floor(position);
    const inside = (index) => Math.min(Math.max(index, 0), sourceSize - 1);
    return { first: inside(before), second: inside(before + 1), weight: position - before };
  });
}
