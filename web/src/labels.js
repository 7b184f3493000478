/** The label file inside a .tflite: an entry of a zip archive that follows the model. */

import { UserError } from "./errors.js";

const END_SIGNATURE = 0x06054b50;
const END_SIZE = 22;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_SIZE = 46;
const LOCAL_SIZE = 30;
const MAX_COMMENT = 65535;
const STORED = 0;

/**
 * Reads one file of the archive at the end of the bytes.
 *
 * @param {Uint8Array} bytes of the whole .tflite.
 * @param {string} name of the entry.
 * @returns {Uint8Array | null} its content; null where there is no archive or no such entry.
 */
export function readArchived(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  if (end < 0) return null;
  const directorySize = view.getUint32(end + 12, true);
  const start = end - directorySize;
  // Offsets count from the file's start or from the archive's: both are in use.
  const shift = start - view.getUint32(end + 16, true);
  let at = start;
  for (let i = view.getUint16(end + 10, true); i > 0; i--) {
    if (view.getUint32(at, true) !== ENTRY_SIGNATURE) return null;
    const nameLength = view.getUint16(at + 28, true);
    if (decode(bytes.subarray(at + ENTRY_SIZE, at + ENTRY_SIZE + nameLength)) === name) {
      return readEntry(view, bytes, at, shift, name);
    }
    at += ENTRY_SIZE + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return null;
}

function findEnd(view) {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    if (view.getUint32(at, true) === END_SIGNATURE) return at;
  }
  return -1;
}

function readEntry(view, bytes, entry, shift, name) {
  if (view.getUint16(entry + 10, true) !== STORED) {
    throw new UserError(
      `${name} inside the model must be stored, not compressed; write it again with ` +
        "python -m export.metadata.",
    );
  }
  const local = view.getUint32(entry + 42, true) + shift;
  const start =
    local + LOCAL_SIZE + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  return bytes.subarray(start, start + view.getUint32(entry + 24, true));
}

function decode(bytes) {
  return new TextDecoder().decode(bytes);
}

/**
 * Splits a label file.
 *
 * @param {Uint8Array} content UTF-8, one name a line, with or without a last newline.
 * @returns {string[]} names in the order of the classes.
 */
export function parseLabels(content) {
  const lines = decode(content).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
