/** Damaged models, made from a sound one by changing its bytes. */

import { Table } from "../src/flatbuffer.js";

const UINT8 = 3;
const TENSOR_TYPE = 1; // Field of a tensor in the TensorFlow Lite schema.

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same model, its input declared as another type (9: int8, 0: float32). */
export function withInputType(bytes, type) {
  const copy = Uint8Array.from(bytes);
  const [graph] = Table.root(viewOf(copy)).tables(2);
  const input = graph.tables(0)[graph.int32s(1)[0]];
  if (input.uint8(TENSOR_TYPE) !== UINT8) throw new Error("needs a model with a uint8 input");
  copy[input.field(TENSOR_TYPE)] = type;
  return copy;
}

/** The same model, its metadata under a name that nobody looks for. */
export function withoutMetadata(bytes) {
  return replaced(bytes, "TFLITE_METADATA", "TFLITE_METABASE");
}

/** The same model as a far newer converter would write it: operators of version 99. */
export function withNewOperators(bytes) {
  const copy = Uint8Array.from(bytes);
  for (const operator of Table.root(viewOf(copy)).tables(1)) {
    const at = operator.field(2);
    if (at) copy[at] = 99;
  }
  return copy;
}

/** The same model; an archive with this label file in place of its own. */
export function withLabels(bytes, text, method = 0) {
  const at = indexOf(bytes, "PK\x03\x04");
  const model = at < 0 ? bytes : bytes.subarray(0, at);
  return Uint8Array.from([...model, ...zip("labels.txt", new TextEncoder().encode(text), method)]);
}

/** An archive of one entry; no checksum, since no reader of ours looks at it. */
export function zip(name, content, method = 0) {
  const local = [...words(0x04034b50), ...header(name, content, method), ...text(name), ...content];
  const directory = [
    ...words(0x02014b50), ...shorts(20), ...header(name, content, method), ...shorts(0, 0, 0),
    ...words(0, 0), ...text(name),
  ];
  const end = [
    ...words(0x06054b50), ...shorts(0, 0, 1, 1), ...words(directory.length, local.length),
    ...shorts(0),
  ];
  return Uint8Array.from([...local, ...directory, ...end]);
}

function header(name, content, method) {
  return [
    ...shorts(20, 0, method, 0, 33), ...words(0, content.length, content.length),
    ...shorts(name.length, 0),
  ];
}

const shorts = (...values) => values.flatMap((value) => [value & 255, value >> 8]);
const words = (...values) => values.flatMap((v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, v >>> 24]);
const text = (value) => [...value].map((letter) => letter.charCodeAt(0));

function indexOf(bytes, value) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(value, 0, "latin1");
}

function replaced(bytes, from, to) {
  const copy = Uint8Array.from(bytes);
  copy.set(text(to), indexOf(bytes, from));
  return copy;
}
