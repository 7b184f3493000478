/** The page's elements: what is shown, and nothing about how it was found. */

const TOP = 5;
const ANNOUNCE_EVERY_MS = 2000;

const byId = (id) => document.getElementById(id);

export const elements = {
  modelFile: byId("model-file"),
  imageFile: byId("image-file"),
  camera: byId("camera"),
  engines: byId("engines"),
  video: byId("video"),
  samples: byId("samples"),
};

/** Shows what the file is: name, input, classes, labels, size. */
export function showModel({ name, bytes, width, height, inputType, classCount, labels }) {
  byId("model-name").textContent = name;
  const facts = [
    `${width} x ${height} px`,
    inputType,
    `${classCount.toLocaleString("en")} classes`,
    labels ? "labels inside" : "no labels inside",
    `${(bytes.length / 1e6).toFixed(2)} MB`,
  ];
  byId("model-facts").replaceChildren(...facts.map((text) => element("li", { text })));
}

/** Shows an error, or takes it away with null. */
export function showError(message) {
  byId("error").textContent = message ?? "";
}

/** Says what the page is doing; an empty text when it is ready. */
export function showBusy(text) {
  byId("busy").textContent = text;
}

/** Shows the picture that is classified: a canvas, or the camera's video. */
export function showPicture(canvas) {
  byId("hint").hidden = true;
  elements.video.hidden = canvas !== null;
  const stage = byId("stage");
  stage.querySelector("canvas")?.remove();
  if (!canvas) return;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The image that is classified");
  stage.append(canvas);
}

/**
 * Shows the best classes, best first.
 *
 * @param {{index: number, score: number, name: string}[]} results of all classes.
 * @param {string} detail latency, and the engine that took it.
 * @param {string} check what Python says of this image; empty where it is not known.
 */
export function showResults(results, detail, check) {
  const best = [...results].sort((a, b) => b.score - a.score).slice(0, TOP);
  byId("results-empty").hidden = true;
  byId("top").replaceChildren(...best.map(row));
  byId("detail").textContent = detail;
  byId("check").textContent = check;
  announce(`${best[0].name}, ${percent(best[0].score)}. ${detail}`, best[0].name);
}

/** Takes the results away: they are not of the model or engine that is shown. */
export function clearResults() {
  byId("top").replaceChildren();
  byId("detail").textContent = "";
  byId("check").textContent = "";
  byId("results-empty").hidden = false;
}

function row({ name, score }) {
  const bar = element("span", { className: "bar" });
  bar.style.setProperty("--share", `${Math.max(0, Math.min(1, score)) * 100}%`);
  bar.setAttribute("aria-hidden", "true");
  const item = element("li", {});
  item.append(
    element("span", { className: "name", text: name }),
    element("span", { className: "percent", text: percent(score) }),
    bar,
  );
  return item;
}

const announced = { name: "", atMs: 0 };

// The camera gives many results a second: a screen reader hears a new name, and not too often.
function announce(text, name) {
  const nowMs = performance.now();
  const isCamera = !elements.video.hidden;
  const isSoon = nowMs - announced.atMs < ANNOUNCE_EVERY_MS;
  if (isCamera && (name === announced.name || isSoon)) return;
  announced.name = name;
  announced.atMs = nowMs;
  byId("spoken").textContent = text;
}

/** Shows the bundle's images as buttons. */
export function showSamples(samples, onChoose) {
  byId("samples-part").hidden = samples.length === 0;
  elements.samples.replaceChildren(
    ...samples.map((sample, i) => {
      const image = element("img", {});
      image.src = sample.address;
      image.alt = "";
      const button = element("button", { className: "sample" });
      button.type = "button";
      button.setAttribute("aria-label", `Sample ${i + 1}: ${sample.label}`);
      button.setAttribute("aria-pressed", "false");
      button.append(image);
      button.addEventListener("click", () => onChoose(sample, button));
      const item = element("li", {});
      item.append(button);
      return item;
    }),
  );
}

/** Marks one sample as the chosen one; null for none. */
export function markSample(chosen) {
  for (const button of elements.samples.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
}

/** Shows whether the camera is on: the button says what a click does. */
export function showCamera(isOn) {
  elements.camera.textContent = isOn ? "Stop camera" : "Camera";
  elements.camera.classList.toggle("is-on", isOn);
}

/** Brings the results onto the screen, where a choice below them has moved them away. */
export function scrollToResults() {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  byId("results").scrollIntoView({ block: "nearest", behavior: isCalm ? "auto" : "smooth" });
}

/** Fills the choice of engines. */
export function showEngines(engines, chosenId, onChoose) {
  for (const { id, title } of engines) {
    const input = element("input", {});
    Object.assign(input, { type: "radio", name: "engine", value: id, checked: id === chosenId });
    input.addEventListener("change", () => onChoose(id));
    const label = element("label", {});
    label.append(input, element("span", { text: title }));
    elements.engines.append(label);
  }
}

/** Marks an engine as chosen. */
export function checkEngine(id) {
  elements.engines.querySelector(`input[value="${id}"]`).checked = true;
}

/** Says in the footer whether the page can do without its server. */
export function showOffline(isReady) {
  byId("offline").textContent = isReady ? "Ready to work offline." : "Not available offline.";
}

/** 0.1234 as "12.3 %". */
export function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

function element(tag, { text = "", className = "" }) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
