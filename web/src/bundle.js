/** A golden bundle beside the page: a model, its images, and what Python says of them. */

import { UserError } from "./errors.js";

const FOLDER = new URL("../bundle/", import.meta.url);

/**
 * @returns {Promise<object | null>} golden.json, paths made into addresses; null where the
 *     server has no bundle.
 */
export async function findBundle() {
  const response = await fetchFile("golden.json").catch(() => null);
  if (!response?.ok) return null;
  return checked(await response.text());
}

function checked(text) {
  let golden;
  try {
    golden = JSON.parse(text);
  } catch {
    throw broken("golden.json is damaged");
  }
  if (golden?.format !== 1) throw broken(`golden.json has format ${golden?.format}, not 1`);
  const images = Array.isArray(golden.images) ? golden.images : [];
  const isSound = ({ file, label, top1, probabilities }) =>
    [file, label, top1].every((value) => typeof value === "string") && Array.isArray(probabilities);
  if (typeof golden.model !== "string" || !images.length || !images.every((image) => image && isSound(image))) {
    throw broken("golden.json is not complete");
  }
  return golden;
}

function broken(what) {
  return new UserError(
    `The bundle's ${what}; write the bundle again with convert_tflite.py --bundle, ` +
      "or open a model and an image of your own.",
  );
}

/** The bytes of one file of the bundle. */
export async function readBundleFile(path) {
  const response = await fetchFile(path).catch(() => null);
  if (!response?.ok) throw broken(`${path} is missing`);
  return response.blob();
}

/** Address of one file of the bundle. */
export function bundleAddress(path) {
  return new URL(path, FOLDER).href;
}

function fetchFile(path) {
  return fetch(bundleAddress(path));
}

/** Largest difference between scores by class and the bundle's probabilities. */
export function largestDifference(results, probabilities) {
  return Math.max(...results.map(({ index, score }) => Math.abs(score - probabilities[index])));
}
