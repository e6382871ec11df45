// The page: takes a file, asks for an analysis, and shows the answer.

import { EmbeddingBars, encoderOf, showHits, showTasks } from "./answers.js";
import { ProblemError, getJson, parseServerTiming, postFile, setKey } from "./api.js";
import { decodeForDrawing } from "./audio.js";
import { byId, clock, copyText } from "./dom.js";
import { connectInput } from "./input.js";
import { clearProblem, ownProblem, showProblem } from "./problem.js";
import { Spectrogram, readSpectrogram } from "./spectrogram.js";
import { describeWindow, Waveform } from "./waveform.js";
import { showCache, showRequest, showStages } from "./work.js";

const ASK_AFTER_MS = 350;  // of no further key, as arrows move the window in steps
const NO_CATALOGUE = "urn:tasteprint:no-catalogue", NO_SPECTROGRAM = "urn:tasteprint:no-spectrogram";
const RESULTS = ["heard", "seen", "answers", "neighbours", "vector", "work", "request"];

const state = { file: null, address: null, limits: null, running: null, timer: 0, hasCatalogue: true, encoder: null, taskEncoder: null, isDrawn: true };
const waveform = new Waveform(byId("waveform"), { onDrag: choosePlace, onDrop: askFrom });
const spectrogram = new Spectrogram(byId("spectrogram"));
const embedding = new EmbeddingBars(byId("embedding"));
const slider = byId("offset"), choice = byId("window-choice");

function say(text) {
  byId("status").textContent = text;
}

const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;

/** The parameter `window` as chosen. */
function chosenWindow() {
  return choice.value === "offset" ? slider.value : choice.value;
}

/** Mark that an answer is awaited. Not the live region itself: a screen reader holds back what is busy. */
function setBusy(isBusy) {
  if (isBusy) byId("results").setAttribute("aria-busy", "true");
  else byId("results").removeAttribute("aria-busy");
  byId("status").classList.toggle("busy", isBusy);
}

/** `isMade` where the file was made on this page, and is on no disk. */
async function takeFile(file, isMade = false) {
  clearProblem();
  const limit = state.limits?.upload_bytes;
  if (limit && file.size > limit) {  // before it is sent: the service would answer the same
    showProblem(ownProblem("File too large", `${file.name} is larger than this service takes`,
      { value: `${file.size} bytes`, limit: `${limit} bytes`, remedy: "send a shorter part, or MP3 or Opus instead of WAV" }));
    return;
  }
  RESULTS.forEach(id => { byId(id).hidden = true; });
  Object.assign(state, { file, isDrawn: true });
  choice.value = "middle";
  waveform.clear();
  playable(file);
  byId("save-hint").hidden = !isMade;
  const drawing = decodeForDrawing(file).then(decoded => {
    if (state.file !== file) return;
    state.isDrawn = decoded !== null;
    waveform.samples = decoded?.samples ?? null;
    waveform.draw();
    showHint();
  });
  await Promise.all([ask(), drawing]);
}

function playable(file) {
  if (state.address) URL.revokeObjectURL(state.address);
  state.address = URL.createObjectURL(file);
  byId("player").src = state.address;
  Object.assign(byId("save"), { href: state.address, download: file.name });
}

/** Ask for the analysis of the chosen window, and then for what stands on it. */
async function ask() {
  const { file } = state, window_ = chosenWindow();
  if (!file) return;
  state.running?.abort();
  const running = state.running = new AbortController();
  say(`Sending ${file.name} (${megabytes(file.size)}) and waiting for the answer …`);
  setBusy(true);
  try {
    const started_ms = performance.now();
    const response = await postFile("analyze", { window: window_, features: false }, file, running.signal);
    const analysis = await response.json();
    const stages = parseServerTiming(response.headers.get("Server-Timing"));
    clearProblem();
    showAnalysis(analysis, window_);
    showStages(stages, performance.now() - started_ms);
    say(`Analysed ${file.name}.`);
    await Promise.all([askSpectrogram(window_, running), askNeighbours(window_, running)]);
  } catch (error) {
    if (error.name === "AbortError") return;
    say("");
    askForKey(error);
    showProblem(error, { retry: ask, fileName: file.name });
  } finally {
    if (state.running === running) setBusy(false);
  }
}

function showAnalysis(analysis, window_) {
  const { audio, window: used, models } = analysis;
  const channels = audio.channels === 1 ? "mono" : `${audio.channels} channels`;
  byId("file-facts").textContent = `${state.file.name} · ${audio.codec} · ${clock(audio.duration)} · `
    + `${audio.rate} Hz · ${channels} · SHA-256 ${audio.sha256.slice(0, 12)}…`;
  const notes = (audio.notes ?? []).map(note => Object.assign(document.createElement("li"), { textContent: note }));
  byId("notes").replaceChildren(...notes);
  byId("notes").hidden = !notes.length;
  ["heard", "answers", "work", "request"].forEach(id => { byId(id).hidden = false; });
  showWindow(used, audio.duration);
  showTasks(analysis);
  showCache(models);
  showRequest(state.file.name, window_);
  state.encoder = encoderOf(analysis);
  byId("vector").hidden = !state.encoder;
  if (state.encoder) embedding.show(...state.encoder);
}

function showWindow(used, duration_s) {
  waveform.show(used, duration_s);
  slider.max = waveform.maxStart_s.toFixed(1);
  slider.value = used.starts[0];
  slider.disabled = !waveform.canMove;
  byId("window-text").textContent = describeWindow(used, duration_s);
  showHint();
}

function showHint() {
  const hints = state.isDrawn ? [] : ["This browser cannot decode the file, so there is no waveform to see."];
  if (waveform.canMove) hints.push("Drag the window, or move it with the arrow keys of the slider.");
  else if (waveform.duration_s) hints.push("The window holds the whole of this audio.");
  byId("window-hint").textContent = hints.join(" ");
}

/** Show a place that is not analysed yet. */
function choosePlace(start_s) {
  choice.value = "offset";
  slider.value = start_s;
  waveform.moveTo(start_s);
  const { seconds } = waveform.windows[0];
  byId("window-text").textContent = describeWindow({ starts: [start_s], seconds }, waveform.duration_s);
}

function askFrom(start_s) {
  choosePlace(start_s);
  byId("player").currentTime = start_s;
  ask();
}

/** The encoder that most tasks stand on; undefined if there is no such one. */
async function findTaskEncoder() {
  const { models } = await getJson("models");
  const encoders = models.map(model => model.encoder).filter(name => name);
  const count = name => encoders.filter(other => other === name).length;
  return encoders.sort((a, b) => count(b) - count(a))[0];
}

/** The input of that encoder; of the whole song, that of its middle. */
async function askSpectrogram(window_, running) {
  const section = byId("seen");
  try {
    state.taskEncoder ??= findTaskEncoder();
    const model = await state.taskEncoder;
    const query = { ...(model ? { model } : {}), window: window_ === "all" ? "middle" : window_ };
    const response = await postFile("spectrogram", query, state.file, running.signal);
    const picture = await readSpectrogram(response);
    section.hidden = false;
    spectrogram.show(picture, window_ === "all" ? "The middle of the song: " : "");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    state.taskEncoder = null;
    section.hidden = true;
    if (error.problem?.type !== NO_SPECTROGRAM) throw error;
  }
}

async function askNeighbours(window_, running) {
  if (!state.hasCatalogue) return;
  const section = byId("neighbours");
  try {
    const response = await postFile("similar", { window: window_, limit: 10 }, state.file, running.signal);
    section.hidden = false;
    showHits(await response.json());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    section.hidden = true;
    if (error.problem?.type !== NO_CATALOGUE) throw error;
    state.hasCatalogue = false;
  }
}

function askForKey(error) {
  if (!(error instanceof ProblemError) || error.problem.status !== 401) return;
  byId("key-form").hidden = false;
}

async function readLimits() {
  try {
    state.limits = await getJson("limits");
    byId("limit").textContent = `, up to ${megabytes(state.limits.upload_bytes)}`;
  } catch (error) {
    askForKey(error);
  }
}

slider.addEventListener("input", () => {
  choosePlace(Number(slider.value));
  clearTimeout(state.timer);
  state.timer = setTimeout(() => askFrom(Number(slider.value)), ASK_AFTER_MS);
});
choice.addEventListener("change", ask);
byId("key-form").addEventListener("submit", event => {
  event.preventDefault();
  setKey(byId("key").value);
  clearProblem();
  readLimits();
  ask();
});
byId("player").addEventListener("timeupdate", event => waveform.playAt(event.target.currentTime));
byId("copy-embedding").addEventListener("click", event =>
  copyText(JSON.stringify(state.encoder[1].embedding), event.target));
byId("copy-curl").addEventListener("click", event => copyText(byId("curl").textContent, event.target));
byId("copy-python").addEventListener("click", event => copyText(byId("python").textContent, event.target));
connectInput({ onFile: takeFile, onStatus: say, onProblem: showProblem });
readLimits();
