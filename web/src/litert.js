/** LiteRT.js: a plain interpreter; the page normalizes the pixels and names the classes. */

import { refusal } from "./errors.js";

const WASM = new URL("../node_modules/@litertjs/core/wasm/", import.meta.url).href;

let loading = null; // The package holds one runtime for the whole page.

export const litert = {
  id: "litert",
  title: "LiteRT.js",

  /** What the browser must keep to run this engine offline. */
  async files() {
    const runtime = await runtimeName(await import("@litertjs/core"));
    return [
      import.meta.resolve("@litertjs/core"),
      import.meta.resolve("@litertjs/wasm-utils"),
      `${WASM}${runtime}.js`,
      `${WASM}${runtime}.wasm`,
    ];
  },

  /**
   * @param {import("./tflite.js").Classifier} model
   * @returns {Promise<{classify: Function, close: Function}>}
   */
  async open(model) {
    const package_ = await import("@litertjs/core");
    await loadRuntime(package_);
    try {
      const compiled = await package_.loadAndCompile(model.bytes, { accelerator: "wasm" });
      return {
        classify: (pixels) => classify(package_, compiled, model, pixels),
        close: () => compiled.delete(),
      };
    } catch (error) {
      throw refusal("LiteRT.js", model.name, error);
    }
  },
};

// Threads need a page that is isolated by its server's headers.
async function hasThreads({ supportsFeature }) {
  return globalThis.crossOriginIsolated && (await supportsFeature("threads"));
}

// The names that the package gives to its builds.
async function runtimeName(package_) {
  if (!(await package_.supportsFeature("relaxedSimd"))) return "litert_wasm_compat_internal";
  return (await hasThreads(package_)) ? "litert_wasm_threaded_internal" : "litert_wasm_internal";
}

async function loadRuntime(package_) {
  loading ??= package_.loadLiteRt(`${WASM}${await runtimeName(package_)}.js`);
  try {
    await loading;
  } catch (error) {
    loading = null;
    throw error;
  }
}

async function classify({ Tensor }, compiled, model, pixels) {
  const values = toInputType(withoutAlpha(pixels.data), model);
  const input = new Tensor(values, [1, model.height, model.width, 3]);
  let outputs = [];
  try {
    outputs = await compiled.run(input);
    return named(await outputs[0].data(), model);
  } finally {
    [input, ...outputs].forEach((tensor) => tensor.delete());
  }
}

function withoutAlpha(rgba) {
  return Uint8Array.from({ length: (rgba.length / 4) * 3 }, (_, i) => rgba[i + Math.floor(i / 3)]);
}

// As MediaPipe does: a float32 input is (value - mean) / std, a uint8 input is the bytes.
function toInputType(rgb, { inputType, normalization }) {
  if (inputType === "uint8") return rgb;
  const { mean, std } = normalization;
  return Float32Array.from(
    rgb,
    (value, i) => (value - mean[i % mean.length]) / std[i % std.length],
  );
}

function named(values, { outputType, quantization, labels }) {
  const { scale, zeroPoint } = quantization;
  return Array.from(values, (value, index) => ({
    index,
    score: outputType === "uint8" ? scale * (value - zeroPoint) : value,
    name: labels?.[index] || `class ${index}`,
  }));
}
