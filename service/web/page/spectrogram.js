// The log-mel spectrogram that the network takes as its input, patch beside patch.

import { byId, clock, colour, keepDrawn } from "./dom.js";

// Stops of a sequential colour map from dark to light: lightness rises with the value.
const STOPS = [[8, 8, 30], [64, 17, 105], [137, 36, 116], [209, 66, 88], [248, 138, 70], [253, 236, 165]];
const GAP_PX = 6;

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
    keepDrawn(canvas, () => this.draw());
  }

  show({ shape, values, used, model }) {
    const [nPatches, nFrames, nBands] = shape, size = nFrames * nBands;
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    this.patches = Array.from({ length: nPatches }, (_, patch) =>
      paint(values.subarray(patch * size, (patch + 1) * size), nFrames, nBands, low, high));
    const text = describe({ nPatches, nFrames, nBands, low, high, model }, used);
    byId("spectrogram-text").textContent = text;
    this.canvas.setAttribute("aria-label", `Mel spectrogram. ${text}`);
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    if (!this.patches.length) return;
    const context = this.canvas.getContext("2d"), gap = GAP_PX * scale;
    context.fillStyle = colour("--card");
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = false;
    const patchWidth = (this.canvas.width - gap * (this.patches.length - 1)) / this.patches.length;
    this.patches.forEach((patch, index) =>
      context.drawImage(patch, index * (patchWidth + gap), 0, patchWidth, this.canvas.height));
  }
}

function describe({ nPatches, nFrames, nBands, low, high, model }, used) {
  const seconds = used.patches ? used.patches.seconds : used.seconds / nPatches;
  const offsets_s = used.patches?.starts ?? Array.from({ length: nPatches }, (_, index) => index * seconds);
  const where = offsets_s.map(offset_s => clock(used.starts[0] + offset_s)).join(", ");
  const what = nPatches === 1 ? "one part" : `${nPatches} parts`;
  return `The input of ${model}: ${what} of ${seconds} s, from ${where}; ${nFrames} frames by `
    + `${nBands} mel bands, low ones at the bottom; dark ${low.toFixed(2)} to light ${high.toFixed(2)}. `
    + "The numbers are those of the graph itself.";
}
