/** The camera's picture, frame after frame, on a canvas. */

import { UserError } from "./errors.js";

const REASONS = {
  NotAllowedError: "The camera is blocked; allow it for this page in the browser's settings.",
  NotFoundError: "This device has no camera; open an image instead.",
  NotReadableError: "Another program is using the camera; close it and try again.",
};

/**
 * Starts the camera, the one on a phone's back where there is a choice.
 *
 * @param {HTMLVideoElement} video shows the picture.
 * @returns {Promise<{draw: (canvas: HTMLCanvasElement) => void, stop: () => void}>}
 * @throws {UserError} there is no camera, or the user said no.
 */
export async function startCamera(video) {
  if (!navigator.mediaDevices) {
    throw new UserError("Browsers give the camera to pages from localhost or https only.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new UserError(REASONS[error.name] ?? `The camera did not start: ${error.message}`);
  }
  video.srcObject = stream;
  await video.play();
  return {
    draw(canvas) {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0);
    },
    stop() {
      stream.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
    },
  };
}
