/** MediaPipe's ImageClassifier: scales the image and names the classes itself. */

import { UserError, firstLine } from "./errors.js";

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
      return { classify: async (canvas) => classify(task, canvas), close: () => task.close() };
    } catch (error) {
      throw new UserError(`MediaPipe cannot run ${model.name}: ${firstLine(error)}`);
    }
  },
};

function classify(task, canvas) {
  const [head] = task.classify(canvas).classifications;
  return head.categories.map(({ index, score, categoryName }) => ({
    index,
    score,
    name: categoryName || `class ${index}`,
  }));
}
