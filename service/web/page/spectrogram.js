// The log-mel spectrogram that the network takes as its input, patch beside patch.

import { byId, clock, colour, keepDrawn, LABEL_FONT, prepareCanvas } from "./dom.js";

// Stops of a sequential colour map from dark to light: lightness rises with the value.
const STOPS = [[8, 8, 30], [64, 17, 105], [137, 36, 116], [209, 66, 88], [248, 138, 70], [253, 236, 165]];
const GAP_PX = 6, AXIS_PX = 22;

function colourOf(share) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const index = Math.min(Math.floor(place), STOPS.length - 2), rest = place - index;
  return STOPS[index].map((low, channel) => low + rest * (STOPS[index + 1][channel] - low));
}

/** The picture of one patch: a canvas of one pixel a value, low bands at the bottom. */
function paint(values, nFrames, nBands, low, high) {
  const canvas = Object.assign(document.createElement("canvas"), { width: nFrames, height: nBands });
  const context = canvas.getContext("2d"), image = context.createImageData(nFrames, nBands);
  const range = high - low || 1;
  for (let frame = 0; frame < nFrames; frame++) {
    for (let band = 0; band < nBands; band++) {
      const [red, green, blue] = colourOf((values[frame * nBands + band] - low) / range);
      image.data.set([red, green, blue, 255], 4 * ((nBands - 1 - band) * nFrames + frame));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The answer of /spectrogram: {values, shape: [patches, frames, bands], used, model}. */
export async function readSpectrogram(response) {
  const shape = response.headers.get("Tasteprint-Shape").split(",").map(Number);
  const values = new Float32Array(await response.arrayBuffer());
  const used = JSON.parse(response.headers.get("Tasteprint-Window"));
  return { shape, values, used, model: response.headers.get("Tasteprint-Model") };
}

export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.patches = [];
    this.times = { starts_s: [], seconds: 0 };
    keepDrawn(canvas, () => this.draw());
  }

  /** `place` is a start of the text below the picture. */
  show({ shape, values, used, model }, place = "") {
    const [nPatches, nFrames, nBands] = shape, size = nFrames * nBands;
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    this.patches = Array.from({ length: nPatches }, (_, patch) =>
      paint(values.subarray(patch * size, (patch + 1) * size), nFrames, nBands, low, high));
    this.times = timesOf(used, nPatches);
    const text = place + describe({ nPatches, nFrames, nBands, low, high, model }, this.times);
    byId("spectrogram-text").textContent = text;
    this.canvas.setAttribute("aria-label", `Mel spectrogram. ${text}`);
    this.draw();
  }

  draw() {
    const { context, width, height: wholeHeight } = prepareCanvas(this.canvas);
    if (!this.patches.length) return;
    const height = wholeHeight - AXIS_PX;
    const patchWidth = (width - GAP_PX * (this.patches.length - 1)) / this.patches.length;
    context.imageSmoothingEnabled = false;
    context.font = LABEL_FONT;
    context.fillStyle = colour("--soft");
    this.patches.forEach((patch, index) => {
      const left = index * (patchWidth + GAP_PX), start_s = this.times.starts_s[index];
      context.drawImage(patch, left, 0, patchWidth, height);
      const texts = [`${clock(start_s)} – ${clock(start_s + this.times.seconds)}`, clock(start_s)];
      const text = texts.find(shown => context.measureText(shown).width <= patchWidth);
      if (text) context.fillText(text, left, height + 16);
    });
  }
}

/** Where the patches start in the song, and how long one is. */
function timesOf(used, nPatches) {
  const seconds = used.patches ? used.patches.seconds : used.seconds / nPatches;
  const offsets_s = used.patches?.starts ?? Array.from({ length: nPatches }, (_, index) => index * seconds);
  return { starts_s: offsets_s.map(offset_s => used.starts[0] + offset_s), seconds };
}

function describe({ nPatches, nFrames, nBands, low, high, model }, { starts_s, seconds }) {
  const what = nPatches === 1 ? "one part" : `${nPatches} parts`;
  return `The input of ${model}: ${what} of ${seconds} s, from ${starts_s.map(clock).join(", ")}; ${nFrames} frames by `
    + `${nBands} mel bands, low frequencies at the bottom; from ${low.toFixed(2)} (dark) to ${high.toFixed(2)} (light), `
    + "as computed by the network's own graph.";
}
