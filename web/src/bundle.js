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
  const golden = await response.json();
  if (golden.format !== 1) {
    throw new UserError(`golden.json must have format 1. Received: ${golden.format}`);
  }
  return golden;
}

/** The bytes of one file of the bundle. */
export async function readBundleFile(path) {
  const response = await fetchFile(path).catch(() => null);
  if (!response?.ok) throw new UserError(`The bundle has no ${path}; write the bundle again.`);
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
