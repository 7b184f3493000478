/** The Chromium of this computer, for what drives the page. */

import { existsSync } from "node:fs";

import { chromium } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Path of the browser; CHROMIUM names another one. Undefined where there is none. */
export function findChromium() {
  return process.env.CHROMIUM ?? PATHS.find((path) => existsSync(path));
}

export const NO_CHROMIUM = "no Chromium: install it, or name it with CHROMIUM=PATH";

/** @returns {Promise<import("playwright-core").Browser>} */
export async function launchChromium(extraFlags = []) {
  return chromium.launch({ executablePath: findChromium(), args: [...FLAGS, ...extraFlags] });
}
