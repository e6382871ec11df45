// Waveform with the analysed windows, one of which can be dragged.

import { peaks } from "./audio.js";
import { byId, clock, colour, keepDrawn, LABEL_FONT, prepareCanvas } from "./dom.js";

const AXIS_PX = 22, MIN_TICK_PX = 64;
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/** The waveform of a song.
 *
 * `onDrag(start_s)` is called while the window moves, `onDrop(start_s)` where it is let go.
 */
export class Waveform {
  constructor(canvas, { onDrag, onDrop }) {
    Object.assign(this, { canvas, onDrag, onDrop });
    this.clear();
    keepDrawn(canvas, () => this.draw());
    canvas.addEventListener("pointerdown", event => this.#grab(event));
    canvas.addEventListener("pointermove", event => this.#move(event));
    canvas.addEventListener("pointerup", event => this.#release(event));
    canvas.addEventListener("pointercancel", () => this.#end());
  }

  clear() {
    this.samples = null;
    this.columns = [];
    this.playhead_s = 0;
    this.duration_s = 0;
    this.windows = [];  // [{start_s, seconds}]
    this.patches = [];
    this.grabbed_s = null;
  }

  /** Whether there is a part of the song outside the window. */
  get canMove() {
    return this.windows.length > 0 && this.maxStart_s > 0;
  }

  get maxStart_s() {
    return Math.max(0, this.duration_s - (this.windows[0]?.seconds ?? 0));
  }

  /** What the service analysed: the answer's `window`. */
  show(used, duration_s) {
    this.duration_s = duration_s;
    this.windows = used.starts.map(start_s => ({ start_s, seconds: used.seconds }));
    this.patches = this.windows.flatMap(({ start_s }) => (used.patches?.starts ?? [])
      .map(offset_s => ({ start_s: start_s + offset_s, seconds: used.patches.seconds })));
    this.canvas.classList.toggle("fixed", !this.canMove);
    this.draw();
  }

  /** Move the one window, before it is analysed. */
  moveTo(start_s) {
    if (!this.canMove) return;
    this.windows = [{ ...this.windows[0], start_s }];
    this.patches = [];
    this.draw();
  }

  /** Mark the place that is played. */
  playAt(seconds) {
    this.playhead_s = seconds;
    this.draw();
  }

  draw() {
    const { context, width, height: wholeHeight } = prepareCanvas(this.canvas);
    const height = wholeHeight - AXIS_PX;
    const x = seconds => this.duration_s ? seconds / this.duration_s * width : 0;
    const fill = ({ start_s, seconds }, name) => {
      context.fillStyle = colour(name);
      const end = Math.min(x(start_s + seconds), width);
      context.fillRect(x(start_s), 0, Math.max(end - x(start_s), 1), height);
    };
    this.windows.forEach(part => fill(part, "--window"));
    this.patches.forEach(part => fill(part, "--patch"));
    context.fillStyle = colour("--wave");
    if (this.samples) {
      if (this.columns.length !== Math.round(width)) this.columns = peaks(this.samples, Math.round(width));
      const peak = Math.max(...this.columns.map(([low, high]) => Math.max(-low, high)), 1e-4);
      this.columns.forEach(([low, high], column) => {  // a quiet song fills the height too
        const top = (1 - high / peak) * height / 2, bottom = (1 - low / peak) * height / 2;
        context.fillRect(column, top, 1, Math.max(bottom - top, 1));
      });
    } else {
      context.fillRect(0, height / 2, width, 1);
    }
    this.#drawEdges(context, x, height);
    this.#drawAxis(context, x, { width, height });
    if (this.playhead_s > 0) {
      context.fillStyle = colour("--text");
      context.fillRect(Math.min(x(this.playhead_s), width - 2), 0, 2, height);
    }
    this.canvas.classList.toggle("decoded", this.samples !== null);
    this.canvas.setAttribute("aria-label", this.#description());
  }

  #drawEdges(context, x, height) {
    context.fillStyle = colour("--accent");
    if (this.windows.length > 1) {  // which may overlap, and touch each other
      for (const { start_s } of this.windows) context.fillRect(x(start_s), 0, 1, height);
      return;
    }
    if (!this.canMove) return;
    const { start_s, seconds } = this.windows[0];
    for (const edge of [x(start_s), x(start_s + seconds) - 3]) context.fillRect(edge, 0, 3, height);
  }

  #drawAxis(context, x, { width, height }) {
    const step_s = TICKS_S.find(seconds => x(seconds) >= MIN_TICK_PX) ?? TICKS_S.at(-1);
    context.font = LABEL_FONT;
    context.fillStyle = colour("--soft");
    for (let index = 0; index * step_s <= this.duration_s; index++) {
      const at = x(index * step_s), text = clock(index * step_s);
      context.fillRect(Math.min(at, width - 1), height, 1, 5);
      if (at + context.measureText(text).width + 4 <= width) context.fillText(text, at + 4, height + 15);
    }
  }

  #description() {
    const parts = this.windows.map(({ start_s, seconds }) =>
      `${clock(start_s)} to ${clock(Math.min(start_s + seconds, this.duration_s))}`);
    const some = parts.length > 3 ? [...parts.slice(0, 3), `${parts.length - 3} more`] : parts;
    return `Waveform of ${clock(this.duration_s)}; analysed: ${some.join(", ")}`;
  }

  #seconds(event) {
    const box = this.canvas.getBoundingClientRect();
    return (event.clientX - box.left) / box.width * this.duration_s;
  }

  #grab(event) {
    if (!this.canMove || event.button !== 0) return;
    const { start_s, seconds } = this.windows[0], at_s = this.#seconds(event);
    const isInside = this.windows.length === 1 && at_s >= start_s && at_s <= start_s + seconds;
    this.grabbed_s = isInside ? at_s - start_s : seconds / 2;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.classList.add("dragging");
    this.#move(event);
  }

  #start(event) {
    const start_s = Math.min(Math.max(this.#seconds(event) - this.grabbed_s, 0), this.maxStart_s);
    return Math.round(start_s * 10) / 10;
  }

  #move(event) {
    if (this.grabbed_s === null) return;
    this.moveTo(this.#start(event));
    this.onDrag(this.windows[0].start_s);
  }

  #release(event) {
    if (this.grabbed_s === null) return;
    const start_s = this.#start(event);
    this.#end();
    this.onDrop(start_s);
  }

  #end() {
    this.grabbed_s = null;
    this.canvas.classList.remove("dragging");
  }
}

/** The text beside the slider: what of the song is in the window. */
export function describeWindow(used, duration_s) {
  const end = start_s => clock(Math.min(start_s + used.seconds, duration_s));
  if (used.starts.length > 1) return `${used.starts.length} windows`;
  byId("offset").setAttribute("aria-valuetext", `${clock(used.starts[0])} to ${end(used.starts[0])}`);
  return `${clock(used.starts[0])} – ${end(used.starts[0])}`;
}
