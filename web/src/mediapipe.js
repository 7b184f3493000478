/** MediaPipe's ImageClassifier: reads metadata and labels from the file itself. */

import { refusal } from "./errors.js";

const WASM = new URL("../node_modules/@mediapipe/tasks-vision/wasm/", import.meta.url).href;

export const mediapipe = {
  id: "mediapipe",
  title: "MediaPipe",

  /** What the browser must keep to run this engine offline. */
  async files() {
    return [
      import.meta.resolve("@mediapipe/tasks-vision"),
      `${WASM}vision_wasm_internal.js`,
      `${WASM}vision_wasm_internal.wasm`,
    ];
  },

  /**
   * @param {import("./tflite.js").Classifier} model
   * @returns {Promise<{classify: Function, close: Function}>}
   */
  async open(model) {
    const { FilesetResolver, ImageClassifier } = await import("@mediapipe/tasks-vision");
    const fileset = await FilesetResolver.forVisionTasks(WASM.slice(0, -1));
    try {
      const task = await ImageClassifier.createFromOptions(fileset, {
        baseOptions: { modelAssetBuffer: model.bytes.slice(), delegate: "CPU" },
        runningMode: "IMAGE",
        maxResults: -1,
      });
      return { classify: async (pixels) => classify(task, pixels), close: () => task.close() };
    } catch (error) {
      throw refusal("MediaPipe", model.name, error);
    }
  },
};

function classify(task, pixels) {
  const [head] = task.classify(pixels).classifications;
  return head.categories.map(({ index, score, categoryName }) => ({
    index,
    score,
    name: categoryName || `class ${index}`,
  }));
}
