/** What the page must know of a .tflite before an engine sees it; says what is wrong with it. */

import { UserError } from "./errors.js";
import { Table } from "./flatbuffer.js";
import { parseLabels, readArchived } from "./labels.js";

// Numbers of TensorType, and of the fields below, in the TensorFlow Lite and metadata schemas.
const TYPES = {
  0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
};
const MODEL = { subgraphs: 2, buffers: 4, metadata: 6 };
const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2 };
const TENSOR = { shape: 0, type: 1, quantization: 4 };
const QUANTIZATION = { scale: 2, zeroPoint: 3 };
const METADATA = { name: 0, buffer: 1 };
const MODEL_METADATA = { subgraphs: 3 };
const SUBGRAPH_METADATA = { inputs: 2, outputs: 3 };
const TENSOR_METADATA = { processUnits: 4, files: 6 };
const PROCESS_UNIT = { kind: 0, options: 1 };
const NORMALIZATION = { kind: 1, mean: 0, std: 1 };
const FILE = { name: 0, type: 2, locale: 3, axisLabels: 2 };

/**
 * @typedef {object} Classifier
 * @property {string} name of the file.
 * @property {Uint8Array} bytes of the file.
 * @property {number} width of the input in pixels.
 * @property {number} height of the input in pixels.
 * @property {"uint8" | "float32"} inputType
 * @property {{mean: number[], std: number[]} | null} normalization of a float32 input.
 * @property {"uint8" | "float32"} outputType
 * @property {{scale: number, zeroPoint: number}} quantization of a uint8 output.
 * @property {number} classCount
 * @property {string[] | null} labels in the order of the classes.
 */

/**
 * Reads and checks an image classifier.
 *
 * @param {string} name of the file, for messages.
 * @param {Uint8Array} bytes of the file.
 * @returns {Classifier}
 * @throws {UserError} the file cannot be used; the message says why.
 */
export function readClassifier(name, bytes) {
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") {
    throw new UserError(`${name} is not a .tflite file; open one that convert_tflite.py wrote.`);
  }
  try {
    return checked({ name, bytes, ...describe(bytes) });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`${name} is cut off or damaged; copy or convert it again.`);
  }
}

function describe(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const model = Table.root(view);
  const buffers = model.tables(MODEL.buffers);
  buffers.forEach((buffer) => buffer.bytes(0)); // A file that is cut off fails here.
  const [graph] = model.tables(MODEL.subgraphs);
  const tensors = graph.tables(SUBGRAPH.tensors);
  const input = readTensor(tensors[graph.int32s(SUBGRAPH.inputs)[0]]);
  const output = readTensor(tensors[graph.int32s(SUBGRAPH.outputs)[0]]);
  const metadata = readMetadata(model, buffers);
  return {
    inputCount: graph.int32s(SUBGRAPH.inputs).length,
    inputShape: input.shape,
    inputType: input.type,
    height: input.shape[1],
    width: input.shape[2],
    normalization: metadata.normalization,
    outputShape: output.shape,
    outputType: output.type,
    quantization: output.quantization,
    classCount: output.shape.at(-1),
    labels: readLabels(bytes, metadata.labelFile),
  };
}

function readTensor(tensor) {
  const quantization = tensor.table(TENSOR.quantization);
  return {
    shape: tensor.int32s(TENSOR.shape),
    type: TYPES[tensor.uint8(TENSOR.type)] ?? "an unknown type",
    quantization: {
      scale: quantization?.float32s(QUANTIZATION.scale)[0] ?? 1,
      zeroPoint: quantization?.int64s(QUANTIZATION.zeroPoint)[0] ?? 0,
    },
  };
}

function readMetadata(model, buffers) {
  const entry = model
    .tables(MODEL.metadata)
    .find((item) => item.string(METADATA.name) === "TFLITE_METADATA");
  if (!entry) return { normalization: null, labelFile: null };
  const bytes = buffers[entry.uint32(METADATA.buffer)].bytes(0);
  const root = Table.root(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const [graph] = root.tables(MODEL_METADATA.subgraphs);
  const [input] = graph?.tables(SUBGRAPH_METADATA.inputs) ?? [];
  const [output] = graph?.tables(SUBGRAPH_METADATA.outputs) ?? [];
  return { normalization: readNormalization(input), labelFile: readLabelFile(output) };
}

function readNormalization(input) {
  const options = input
    ?.tables(TENSOR_METADATA.processUnits)
    .find((unit) => unit.uint8(PROCESS_UNIT.kind) === NORMALIZATION.kind)
    ?.table(PROCESS_UNIT.options);
  if (!options) return null;
  return { mean: options.float32s(NORMALIZATION.mean), std: options.float32s(NORMALIZATION.std) };
}

function readLabelFile(output) {
  const files = (output?.tables(TENSOR_METADATA.files) ?? []).filter(
    (file) => file.uint8(FILE.type) === FILE.axisLabels,
  );
  const file = files.find((item) => item.string(FILE.locale) === "") ?? files[0];
  return file ? file.string(FILE.name) : null;
}

function readLabels(bytes, labelFile) {
  const content = readArchived(bytes, labelFile ?? "labels.txt");
  if (content) return parseLabels(content);
  // The archive is the end of the file: without it, the end is missing.
  if (labelFile) throw new RangeError(`no ${labelFile} after the model`);
  return null;
}

function checked(model) {
  const { name, inputShape, outputShape } = model;
  if (model.inputCount !== 1 || inputShape.length !== 4 || inputShape[3] !== 3) {
    throw new UserError(
      `${name} takes ${model.inputCount} input(s), the first of shape ${inputShape.join("x")}; ` +
        "this page runs networks that take one RGB image.",
    );
  }
  if (outputShape.length !== 2 || model.classCount < 1) {
    throw new UserError(
      `${name} gives an output of shape ${outputShape.join("x")}; this page runs classifiers.`,
    );
  }
  checkTypes(model);
  if (model.labels && model.labels.length !== model.classCount) {
    throw new UserError(
      `${name} has ${model.labels.length} labels for ${model.classCount} classes; ` +
        "write them again with python -m export.metadata.",
    );
  }
  return model;
}

function checkTypes({ name, inputType, outputType, normalization }) {
  if (inputType !== "uint8" && inputType !== "float32") {
    throw new UserError(
      `${name} takes ${inputType} pixels, which browsers' engines cannot feed; ` +
        "convert it with a uint8 input (convert_tflite.py --quantize int8).",
    );
  }
  if (outputType !== "uint8" && outputType !== "float32") {
    throw new UserError(
      `${name} gives ${outputType} scores, which browsers' engines cannot read; ` +
        "convert it with a float32 output (convert_tflite.py).",
    );
  }
  if (inputType === "float32" && !normalization) {
    throw new UserError(
      `${name} takes float32 pixels and has no metadata that says how to scale them; ` +
        "add it with python -m export.metadata.",
    );
  }
}
