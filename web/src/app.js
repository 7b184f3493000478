/** Ties the page together: files and camera in, engine, results out. */

import { bundleAddress, findBundle, largestDifference, readBundleFile } from "./bundle.js";
import { startCamera } from "./camera.js";
import { UserError, firstLine, refusal } from "./errors.js";
import { litert } from "./litert.js";
import { mediapipe } from "./mediapipe.js";
import { keepOffline, readLastModel, saveLastModel } from "./offline.js";
import { decodePicture, readInput } from "./picture.js";
import { readClassifier } from "./tflite.js";
import * as view from "./view.js";

const ENGINES = [mediapipe, litert];
const RUNS = 5; // Of a still image: the median is steadier than one run.

const state = {
  model: null, // What readClassifier gives.
  engine: mediapipe,
  session: null, // The engine with the model in it.
  picture: null, // {canvas, golden}: golden is the bundle's entry or null.
  camera: null,
  golden: null, // The bundle's golden.json while its model is loaded.
};

// One thing at a time, in the order of the clicks.
let queue = Promise.resolve();

function enqueue(busyText, work) {
  queue = queue.then(async () => {
    view.showError(null);
    view.showBusy(busyText);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof UserError)) console.error(error);
      view.showError(error instanceof UserError ? error.message : `${firstLine(error)}.`);
    } finally {
      view.showBusy("");
    }
  });
  return queue;
}

async function loadModel(name, bytes, golden) {
  const model = readClassifier(name, bytes);
  // The new model must run before the old one goes.
  const session = await openSession(state.engine, model);
  replaceSession(session);
  Object.assign(state, { model, golden });
  view.showModel(model);
  await classifyPicture();
}

async function openSession(engine, model) {
  const session = await engine.open(model);
  try {
    // The first run is slow, and shows whether it runs at all.
    await session.classify(new ImageData(model.width, model.height));
  } catch (error) {
    session.close();
    throw refusal(engine.title, model.name, error);
  }
  return session;
}

function replaceSession(session) {
  state.session?.close();
  state.session = session;
  view.clearResults();
}

async function chooseEngine(id) {
  const engine = ENGINES.find((item) => item.id === id);
  try {
    if (state.model) replaceSession(await openSession(engine, state.model));
    state.engine = engine;
  } catch (error) {
    view.checkEngine(state.engine.id);
    throw error;
  }
  await classifyPicture();
}

async function choosePicture(blob, name, golden = null, advice) {
  const canvas = await decodePicture(blob, name, advice);
  stopCamera();
  state.picture = { canvas, golden };
  view.markSample(null);
  view.showPicture(canvas);
  await classifyPicture();
}

async function classifyPicture() {
  if (!state.picture || state.camera) return;
  if (!state.session) throw new UserError("Open a .tflite file first, then the image runs.");
  const timesMs = [];
  let results;
  for (let i = 0; i < RUNS; i++) {
    const startMs = performance.now();
    results = await classify(state.picture.canvas);
    timesMs.push(performance.now() - startMs);
  }
  view.showResults(results, latencyText(timesMs), checkText(results));
}

// Both engines get the same pixels: MediaPipe's own scaling in browsers is not the contract's.
function classify(canvas) {
  return state.session.classify(readInput(canvas, state.model.width, state.model.height));
}

function latencyText(timesMs) {
  const median = [...timesMs].sort((a, b) => a - b)[timesMs.length >> 1];
  return `${median.toFixed(1)} ms with ${state.engine.title}, image to scores`;
}

function checkText(results) {
  const golden = state.golden && state.picture?.golden;
  if (!golden) return "";
  const difference = largestDifference(results, golden.probabilities);
  const python = `Python: ${golden.top1}, ${view.percent(Math.max(...golden.probabilities))}`;
  const verdict = difference <= state.golden.tolerance ? "equal" : "NOT equal";
  return (
    `Label: ${golden.label}. ${python}; ${verdict} within ${state.golden.tolerance}, ` +
    `largest difference ${difference.toFixed(4)}.`
  );
}

async function toggleCamera() {
  if (state.camera) {
    stopCamera();
    return;
  }
  if (!state.session) throw new UserError("Open a .tflite file first, then the camera runs.");
  state.camera = await startCamera(view.elements.video);
  state.picture = null;
  view.markSample(null);
  view.showPicture(null);
  view.showCamera(true);
  view.scrollToResults();
  nextFrame(document.createElement("canvas"), []);
}

function stopCamera() {
  state.camera?.stop();
  state.camera = null;
  view.showCamera(false);
}

// Frames wait in the same queue as clicks, so that a click is never run beside one.
function nextFrame(canvas, timesMs) {
  requestAnimationFrame(() => {
    queue = queue.then(() => classifyFrame(canvas, timesMs));
  });
}

async function classifyFrame(canvas, timesMs) {
  if (!state.camera) return;
  try {
    state.camera.draw(canvas);
    const startMs = performance.now();
    const results = await classify(canvas);
    timesMs.push(performance.now() - startMs);
    view.showResults(results, latencyText(timesMs.slice(-20)), "");
    nextFrame(canvas, timesMs.slice(-20));
  } catch (error) {
    console.error(error);
    stopCamera();
    view.showError(`The camera stopped: ${firstLine(error)}.`);
  }
}

// A file is taken for an image by its type, and for a model otherwise.
async function openFile(file) {
  if (file.type.startsWith("image/")) {
    await choosePicture(file, file.name);
    view.scrollToResults();
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  await loadModel(file.name, bytes, null);
  await saveLastModel(file.name, bytes);
}

async function openFirstModel() {
  const golden = await findBundle();
  if (!golden) {
    const last = await readLastModel();
    if (last) await loadModel(last.name, last.bytes, null);
    return;
  }
  const samples = golden.images.map((image) => ({ ...image, address: bundleAddress(image.file) }));
  view.showSamples(samples, (sample, button) =>
    enqueue("", () => chooseSample(sample, button).then(view.scrollToResults)),
  );
  const model = await readBundleFile(golden.model);
  await loadModel(golden.model, new Uint8Array(await model.arrayBuffer()), golden);
  await chooseSample(samples[0], view.elements.samples.querySelector("button"));
}

async function chooseSample(sample, button) {
  const advice = "write the bundle again with convert_tflite.py --bundle";
  await choosePicture(await readBundleFile(sample.file), sample.file, sample, advice);
  view.markSample(button);
}

function listen() {
  for (const input of [view.elements.modelFile, view.elements.imageFile]) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      // So that the same file can be opened again.
      if (file) enqueue(`Opening ${file.name}`, () => openFile(file)).then(() => (input.value = ""));
    });
  }
  view.elements.camera.addEventListener("click", () => enqueue("", toggleCamera));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.toggleAttribute("data-drag", true);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.removeAttribute("data-drag");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.removeAttribute("data-drag");
    const [file] = event.dataTransfer.files;
    if (file) enqueue(`Opening ${file.name}`, () => openFile(file));
  });
}

async function main() {
  listen();
  view.showEngines(ENGINES, state.engine.id, (id) =>
    enqueue("Loading the engine", () => chooseEngine(id)),
  );
  await enqueue("Loading the engine and the model", openFirstModel);
  const files = await Promise.all(ENGINES.map((engine) => engine.files()));
  view.showOffline(await keepOffline(files.flat()));
}

main();
