/** Drives the page in Chromium with the bundles named in BUNDLES (folders, separated by ":"). */

import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { findChromium, launchChromium, NO_CHROMIUM } from "../chromium.mjs";
import { startServer } from "../serve.mjs";
import * as models from "./models.mjs";

const BUNDLES = (process.env.BUNDLES ?? "").split(":").filter(Boolean);
const FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const ENGINES = { mediapipe: "MediaPipe", litert: "LiteRT.js" };
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
const ROUNDING = 0.0005; // Of a percentage with one decimal.
const TIMEOUT_MS = 60_000;

const skip = !findChromium()
  ? NO_CHROMIUM
  : BUNDLES.length === 0 && "no bundle: name one with BUNDLE=DIR";

// A visitor with no history. `requests` collects every address that the page asked for.
async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: PHONE, ...options });
  const requests = [];
  context.on("request", (request) => requests.push(request.url()));
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector("#offline").textContent !== "");
  return { context, page, requests };
}

const text = (page, selector) => page.locator(selector).textContent();

async function waitForText(page, selector, part) {
  await page.waitForFunction(
    ([at, wanted]) => document.querySelector(at).textContent.includes(wanted),
    [selector, part],
  );
}

async function shownScores(page) {
  const names = await page.locator("#top .name").allTextContents();
  const percents = await page.locator("#top .percent").allTextContents();
  return names.map((name, i) => ({ name, score: parseFloat(percents[i]) / 100 }));
}

async function choose(page, engine) {
  await page.locator(`input[value=${engine}]`).check({ force: true });
  await waitForText(page, "#detail", ENGINES[engine]);
}

function readBundle(folder) {
  const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
  const labels = readFileSync(join(folder, golden.labels), "utf8").split("\n").filter(Boolean);
  return { golden, labels, model: readFileSync(join(folder, golden.model)) };
}

const file = (name, bytes, mimeType = "") => ({ name, mimeType, buffer: Buffer.from(bytes) });

for (const folder of BUNDLES) {
  describe(`bundle ${basename(folder)}`, { skip }, () => replayTests(folder));
}

function replayTests(folder) {
  const { golden, labels } = skip ? {} : readBundle(folder);
  let browser, server, url, page, requests;

  before(async () => {
    ({ server, url } = await startServer({ bundle: folder }));
    browser = await launchChromium();
    ({ page, requests } = await open(browser, url));
  });
  after(async () => {
    await browser?.close();
    server?.close();
  });

  test("the engines get the bytes that the network got in Python", async () => {
    for (const { file: path, input_base64 } of golden.images) {
      const { width, height } = golden.input;
      const bytes = await page.evaluate(
        async ([address, w, h]) => {
          const { decodePicture, readInput } = await import("./src/picture.js");
          const blob = await (await fetch(address)).blob();
          const { data } = readInput(await decodePicture(blob, address), w, h);
          return [...data].filter((_, i) => i % 4 !== 3);
        },
        [`./bundle/${path}`, width, height],
      );
      assert.deepEqual(Buffer.from(bytes), Buffer.from(input_base64, "base64"), path);
    }
  });

  for (const engine of Object.keys(ENGINES)) {
    test(`${engine}: the scores and the first place of Python`, async (t) => {
      await choose(page, engine);
      let largest = 0;
      for (const [i, image] of golden.images.entries()) {
        await page.locator("#check").evaluate((element) => (element.textContent = ""));
        await page.locator("#samples button").nth(i).click();
        await waitForText(page, "#check", "largest difference");
        const scores = await shownScores(page);
        largest = Math.max(largest, parseFloat((await text(page, "#check")).match(/([\d.]+)\.$/)[1]));
        checkScores(scores, image, labels, golden.tolerance);
      }
      t.diagnostic(`largest difference of a score ${largest}`);
      assert.ok(largest <= golden.tolerance, `${largest}`);
    });
  }

  test("nothing was asked of any other server", () => {
    assert.deepEqual(requests.filter((address) => !/^(blob|data):/.test(address) && !address.startsWith(url)), []);
  });
}

function checkScores(scores, image, labels, tolerance) {
  for (const { name, score } of scores) {
    const expected = image.probabilities[labels.indexOf(name)];
    assert.ok(Math.abs(score - expected) <= tolerance + ROUNDING, `${name} ${score} ${expected}`);
  }
  const [first, second] = [...image.probabilities].sort((a, b) => b - a);
  // Two classes that are closer than the tolerance may change places.
  if (first - second > 2 * tolerance) assert.equal(scores[0].name, image.top1);
}

describe("the page", { skip }, () => {
  const folder = BUNDLES[0];
  const { golden, labels, model } = skip ? {} : readBundle(folder);
  const isUint8 = golden?.input.dtype === "uint8";
  let browser, server, url;

  before(async () => {
    ({ server, url } = await startServer({ bundle: folder }));
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    server?.close();
  });

  test("wrong files: one sentence each, and the page goes on", async () => {
    const { context, page } = await open(browser, url);
    const wrong = [
      [file("notes.tflite", "this is a text, not a model"), "not a .tflite file"],
      [file("empty.tflite", ""), "not a .tflite file"],
      [file("model.keras", "PK\x03\x04 and so on"), "not a .tflite file"],
      [file("head.tflite", model.subarray(0, Math.floor(model.length / 4))), "is cut off or damaged"],
      [file("half.tflite", model.subarray(0, model.length / 2)), "is cut off or damaged"],
      [file("nolabels.tflite", model.subarray(0, model.length - 40)), "is cut off or damaged"],
      [file("few.tflite", models.withLabels(model, "a\nb\n")), `has 2 labels for ${labels.length} classes`],
      [file("zip.tflite", models.withLabels(model, "a\nb\n", 8)), "must be stored"],
      [file("newer.tflite", models.withNewOperators(model)), "cannot run newer.tflite"],
    ];
    if (isUint8) {
      const bare = models.withoutMetadata(models.withInputType(model, 0));
      wrong.push(
        [file("int8.tflite", models.withInputType(model, 9)), "takes int8 pixels"],
        [file("bare.tflite", bare), "has no metadata that says how to scale"],
      );
    }
    for (const engine of Object.keys(ENGINES)) {
      await choose(page, engine);
      for (const [bad, message] of wrong) {
        await page.locator("#model-file").setInputFiles(bad);
        await waitForText(page, "#error", message);
        const shown = await text(page, "#error");
        assert.match(shown, /^[^\n]{1,300}\.$/, shown);
        assert.equal(await text(page, "#model-name"), golden.model);
      }
      await page.locator("#samples button").first().click();
      await waitForText(page, "#check", "largest difference");
      assert.equal(await text(page, "#error"), "");
    }
    await page.locator("#image-file").setInputFiles(file("broken.png", "no pixels", "image/png"));
    await waitForText(page, "#error", "broken.png is not an image");
    const whole = readFileSync(join(folder, golden.images[0].file));
    const half = file("half.png", whole.subarray(0, whole.length / 2), "image/png");
    await page.locator("#image-file").setInputFiles(half);
    await waitForText(page, "#error", "half.png is cut off or damaged; copy it again, or open another.");
    await context.close();
  });

  test("without labels, classes have numbers", { skip: !isUint8 && "needs a uint8 bundle" }, async () => {
    const { context, page } = await open(browser, url);
    const at = model.indexOf("PK\x03\x04", 0, "latin1");
    const bare = models.withoutMetadata(model.subarray(0, at < 0 ? model.length : at));
    const best = golden.images[0].probabilities.indexOf(Math.max(...golden.images[0].probabilities));
    for (const engine of Object.keys(ENGINES)) {
      await choose(page, engine);
      await page.locator("#model-file").setInputFiles(file("bare.tflite", bare));
      await waitForText(page, "#model-name", "bare.tflite");
      await waitForText(page, "#model-facts", "no labels inside");
      await waitForText(page, "#detail", ENGINES[engine]);
      assert.ok((await shownScores(page)).some(({ name }) => name === `class ${best}`));
    }
    await context.close();
  });

  test("the keyboard reaches and works everything", async () => {
    const { context, page } = await open(browser, url, { viewport: DESKTOP });
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.value
      || document.activeElement.getAttribute("aria-label"));
    const order = [];
    for (let i = 0; i < 6; i++) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    const first = `Sample 1: ${golden.images[0].label}`;
    const second = `Sample 2: ${golden.images[1].label}`;
    assert.deepEqual(order, ["model-file", "mediapipe", "image-file", "camera", first, second]);
    await page.keyboard.press("Enter");
    await waitForText(page, "#check", `Label: ${golden.images[1].label}.`);
    assert.equal(await page.locator("#samples button").nth(1).getAttribute("aria-pressed"), "true");
    for (let i = 0; i < 4; i++) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("ArrowRight");
    await waitForText(page, "#detail", ENGINES.litert);
    assert.match(await text(page, "#spoken"), /%\. .* with LiteRT\.js/);
    await context.close();
  });

  test("a dropped image and a dropped model", async () => {
    const { context, page } = await open(browser, url);
    const image = golden.images[1];
    await drop(page, image.file, readFileSync(join(folder, image.file)), "image/png");
    await page.waitForFunction(() => !document.querySelector('#samples [aria-pressed="true"]'));
    await waitForText(page, "#top", image.top1);
    await drop(page, "dropped.tflite", model, "");
    await waitForText(page, "#model-name", "dropped.tflite");
    await context.close();
  });

  test("without its server: page, engines and the last model", async () => {
    const own = await startServer({ port: 8500 });
    const { context, page } = await open(browser, own.url);
    await page.locator("#model-file").setInputFiles(file("mine.tflite", model));
    await waitForText(page, "#model-name", "mine.tflite");
    await page.waitForFunction(async () => caches.match(new URL("./last-model", location.href).href));
    own.server.close();
    own.server.closeAllConnections();
    await assert.rejects(fetch(own.url));
    await page.reload();
    await waitForText(page, "#model-name", "mine.tflite");
    const image = golden.images[0];
    const picture = readFileSync(join(folder, image.file));
    await page.locator("#image-file").setInputFiles(file("0.png", picture, "image/png"));
    await waitForText(page, "#detail", ENGINES.mediapipe);
    await choose(page, "litert");
    assert.equal(await text(page, "#error"), "");
    await context.close();
  });

  test("no camera is said so", async () => {
    const { context, page } = await open(browser, url);
    await page.locator("#camera").click();
    await page.waitForFunction(() => /camera/.test(document.querySelector("#error").textContent));
    assert.equal(await text(page, "#camera"), "Camera");
    await context.close();
  });

  test("a broken bundle is said so in one sentence", async (t) => {
    const copy = mkdtempSync(join(tmpdir(), "it's a \"bundle\" "));
    const own = await startServer({ bundle: copy, port: 8500 });
    t.after(() => {
      own.server.close();
      own.server.closeAllConnections();
      rmSync(copy, { recursive: true });
    });
    const write = (name, content) => writeFileSync(join(copy, name), content);
    const first = golden.images[0].file;
    const cases = [
      [() => write("golden.json", '{"format": 1, "mod'), "golden.json is damaged"],
      [() => write("golden.json", "null"), "golden.json has format undefined"],
      [() => write("golden.json", '{"format": 1, "model": "m", "images": [null]}'), "is not complete"],
      [() => rmSync(join(copy, golden.model)), `${golden.model} is missing`],
      [() => write(first, readFileSync(join(folder, first)).subarray(0, 60)), `${first} is cut off`],
      [() => write(first, "text"), `${first} is not an image`],
    ];
    for (const [spoil, message] of cases) {
      cpSync(folder, copy, { recursive: true });
      spoil();
      const { context, page } = await open(browser, own.url);
      const shown = await text(page, "#error");
      assert.ok(shown.includes(message) && shown.includes("write the bundle again"), shown);
      assert.match(shown, /^[^\n]{1,200}\.$/);
      await context.close();
    }
  });

  test("a small phone: the answer on the first screen, the buttons in one row", async () => {
    const withCamera = await launchChromium(FAKE_CAMERA);
    const viewport = { width: 360, height: 740 };
    const { page } = await open(withCamera, url, { viewport, permissions: ["camera"] });
    const bottom = await page.locator("#top li").nth(2).evaluate((row) => row.getBoundingClientRect().bottom);
    assert.ok(bottom < viewport.height, `the third class ends at ${bottom}`);
    await page.locator("#camera").click();
    await waitForText(page, "#camera", "Stop camera");
    const tops = await page.locator("#picture .head .button, #camera").evaluateAll((buttons) =>
      buttons.map((button) => button.getBoundingClientRect().top),
    );
    assert.equal(tops[0], tops[1]);
    await withCamera.close();
  });

  test("the camera runs with both engines and stops", async () => {
    const withCamera = await launchChromium(FAKE_CAMERA);
    const { page } = await open(withCamera, url, { permissions: ["camera"] });
    await page.locator("#camera").click();
    for (const engine of Object.keys(ENGINES)) {
      await choose(page, engine);
      const before = await text(page, "#detail");
      await page.waitForFunction((old) => document.querySelector("#detail").textContent !== old, before);
      assert.equal(await page.getByRole("button", { name: "Stop camera", exact: true }).count(), 1);
    }
    await page.locator("#camera").click();
    await page.waitForFunction(() => document.querySelector("#video").srcObject === null);
    assert.equal(await text(page, "#camera"), "Camera");
    assert.equal(await text(page, "#error"), "");
    await withCamera.close();
  });

  test("narrow and wide, light and dark: nothing is wider than the screen", async () => {
    for (const [size, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP, small: { width: 320, height: 568 } })) {
      for (const colorScheme of ["light", "dark"]) {
        const { context, page } = await open(browser, url, { viewport, colorScheme });
        await page.locator("#samples button").nth(1).click();
        await waitForText(page, "#check", `Label: ${golden.images[1].label}.`);
        await photograph(page, `${size}-${colorScheme}`);
        const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        assert.equal(isTooWide, false, size);
        await context.close();
      }
    }
  });
});

// For people to look at; written where SCREENSHOTS names a folder.
async function photograph(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

async function drop(page, name, bytes, type) {
  await page.evaluate(
    ([fileName, content, fileType]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(content)], fileName, { type: fileType }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    },
    [name, [...bytes], type],
  );
}
