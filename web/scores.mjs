/**
 * Scores of many images in Chromium: node web/scores.mjs ENGINE DIR
 *
 * ENGINE is "mediapipe" or "litert". DIR holds model.tflite and images.rgb: pixels of the
 * model's size, RGB, image after image. The page's own modules run the engine. Prints JSON:
 * the versions of engine and browser, and the scores (images, classes). Exit code 3 says
 * that there is no Chromium.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { findChromium, launchChromium, NO_CHROMIUM } from "./chromium.mjs";
import { startServer } from "./serve.mjs";

const PACKAGES = { mediapipe: "@mediapipe/tasks-vision", litert: "@litertjs/core" };
const MISSING = 3;

async function main(argv) {
  const [engine, folder] = parseArgs({ args: argv, allowPositionals: true }).positionals;
  if (!PACKAGES[engine] || !folder) {
    throw new Error("usage: node web/scores.mjs mediapipe|litert DIR");
  }
  if (!findChromium()) return fail(NO_CHROMIUM, MISSING);
  const { server, url } = await startServer({ bundle: folder });
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ serviceWorkers: "block" });
    await page.goto(url);
    const scores = await page.evaluate(scoresInPage, engine);
    console.log(JSON.stringify({ version: versionOf(engine, browser), scores }));
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
  }
}

// Runs in the page.
async function scoresInPage(engine) {
  const { readClassifier } = await import("./src/tflite.js");
  const adapter = (await import(`./src/${engine}.js`))[engine];
  const read = async (name) => new Uint8Array(await (await fetch(`./bundle/${name}`)).arrayBuffer());
  const model = readClassifier("model.tflite", await read("model.tflite"));
  const rgb = await read("images.rgb");
  const { width, height } = model;
  const session = await adapter.open(model);
  const scores = [];
  for (let start = 0; start < rgb.length; start += width * height * 3) {
    const picture = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      picture.data.set(rgb.subarray(start + i * 3, start + i * 3 + 3), i * 4);
      picture.data[i * 4 + 3] = 255;
    }
    const results = await session.classify(picture);
    scores.push(results.sort((a, b) => a.index - b.index).map(({ score }) => score));
  }
  session.close();
  return scores;
}

function versionOf(engine, browser) {
  const name = PACKAGES[engine];
  const path = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  const { version } = JSON.parse(readFileSync(path, "utf8"));
  return `${name} ${version}, Chromium ${browser.version()}`;
}

function fail(message, code) {
  console.error(`error: ${message}`);
  process.exitCode = code;
}

main(process.argv.slice(2)).catch((error) => fail(error.message.split("\n")[0], 1));
