/**
 * The Chromium of this computer, for what drives the page.
 *
 * node web/chromium.mjs prints its path; exit code 3 says that there is none.
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Path of the browser; CHROMIUM names another one. Undefined where there is none. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const paths = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  // The last one is where `npx playwright-core install chromium` puts it.
  return [...paths, chromium.executablePath()].find((path) => existsSync(path));
}

export const NO_CHROMIUM = "no Chromium: install it, or name it with CHROMIUM=PATH";

/** @returns {Promise<import("playwright-core").Browser>} */
export async function launchChromium(extraFlags = []) {
  return chromium.launch({ executablePath: findChromium(), args: [...FLAGS, ...extraFlags] });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const path = findChromium();
  if (path) console.log(path);
  else process.exitCode = 3;
}
