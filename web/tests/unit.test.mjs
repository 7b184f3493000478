/** The modules that need no browser: geometry, labels, the server. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseLabels, readArchived } from "../src/labels.js";
import { stretch } from "../src/picture.js";
import { readClassifier } from "../src/tflite.js";
import { startServer } from "../serve.mjs";
import { withLabels, zip } from "./models.mjs";

const encode = (text) => new TextEncoder().encode(text);
const gray = (...values) => Uint8ClampedArray.from(values.flatMap((v) => [v, v, v, 255]));
const firstChannel = (rgba) => [...rgba].filter((_, i) => i % 4 === 0);

test("two pixels stretched to four are 3:1 mixtures, the outer ones unchanged", () => {
  // Centres of the four lie at -0.25, 0.25, 0.75, 1.25 of the two.
  assert.deepEqual(firstChannel(stretch(gray(0, 100), 2, 1, 4, 1)), [0, 25, 75, 100]);
  assert.deepEqual(firstChannel(stretch(gray(0, 100), 1, 2, 1, 4)), [0, 25, 75, 100]);
});

test("shrinking takes the two pixels in the middle: no antialiasing", () => {
  // The centre of one of eight lies at 3.5; an average over all would be 32.
  assert.deepEqual(firstChannel(stretch(gray(0, 0, 0, 0, 10, 0, 0, 255), 8, 1, 1, 1)), [5]);
});

test("fractions are cut off and channels kept apart", () => {
  const source = Uint8ClampedArray.from([1, 0, 255, 255, 2, 10, 0, 255]);
  assert.deepEqual([...stretch(source, 2, 1, 1, 1)], [1, 5, 127, 255]);
});

test("an image of the input's size is not touched", () => {
  assert.deepEqual(firstChannel(stretch(gray(9, 8, 7, 6), 2, 2, 2, 2)), [9, 8, 7, 6]);
});

test("label files: either line end, with or without the last", () => {
  for (const content of ["a\nb", "a\nb\n", "a\r\nb\r\n"]) {
    assert.deepEqual(parseLabels(encode(content)), ["a", "b"]);
  }
  assert.deepEqual(parseLabels(encode("Käfer\n\u732b\n")), ["Käfer", "\u732b"]);
});

test("an archive is found after a model; its offsets may count from either start", () => {
  const archive = zip("labels.txt", encode("a\nb\n"));
  const file = Uint8Array.from([...new Uint8Array(100), ...archive]);
  assert.deepEqual(parseLabels(readArchived(file, "labels.txt")), ["a", "b"]);
  const view = new DataView(file.buffer);
  const directory = file.length - 22 - 56;
  view.setUint32(directory + 42, 100, true); // The entry, counted from the file's start.
  view.setUint32(file.length - 22 + 16, directory, true);
  assert.deepEqual(parseLabels(readArchived(file, "labels.txt")), ["a", "b"]);
  assert.equal(readArchived(file, "other.txt"), null);
  assert.equal(readArchived(new Uint8Array(100), "labels.txt"), null);
});

test("a compressed label file is refused", () => {
  const file = withLabels(new Uint8Array(64), "a\nb\n", 8);
  assert.throws(() => readArchived(file, "labels.txt"), /must be stored, not compressed/);
});

test("what is no model, or only its start, is refused with one sentence", () => {
  assert.throws(() => readClassifier("a.tflite", new Uint8Array(0)), /not a \.tflite file/);
  assert.throws(() => readClassifier("a.tflite", encode("hello, a text")), /not a \.tflite file/);
  assert.throws(() => readClassifier("a.tflite", encode("\u001c\0\0\0TFL3")), /cut off or damaged/);
});

test("the server: types, isolation, unchanged files, nothing outside", async (t) => {
  const { server, url, port } = await startServer();
  const second = await startServer({ port });
  t.after(() => [server, second.server].forEach((item) => item.close()));
  assert.notEqual(second.port, port);
  assert.equal(server.address().address, "127.0.0.1");
  const page = await fetch(url);
  assert.equal(page.headers.get("cross-origin-opener-policy"), "same-origin");
  assert.equal(page.headers.get("cross-origin-embedder-policy"), "require-corp");
  const script = await fetch(`${url}src/app.js`);
  assert.match(script.headers.get("content-type"), /^text\/javascript/);
  const headers = { "If-None-Match": script.headers.get("etag") };
  assert.equal((await fetch(`${url}src/app.js`, { headers })).status, 304);
  const wasm = "node_modules/@litertjs/core/wasm/litert_wasm_internal.wasm";
  const head = await fetch(url + wasm, { method: "HEAD" });
  assert.equal(head.headers.get("content-type"), "application/wasm");
  for (const path of ["..%2fsetup.cfg", "serve.mjs", "src/..%2f..%2fsetup.cfg", "bundle/x", ".git"]) {
    assert.equal((await fetch(url + path)).status, 404, path);
  }
});
