// The ways in: a chosen file, a dropped one, a recording, and the example.

import { recordingObstacle, startRecording } from "./audio.js";
import { byId, clock } from "./dom.js";
import { makeExample } from "./example.js";
import { ownProblem } from "./problem.js";

/** `onFile(file, isMade)` is called with a file; `isMade` says that it is on no disk. */
export function connectInput({ onFile, onStatus, onProblem }) {
  const input = byId("file");
  input.addEventListener("change", () => {
    if (input.files.length) onFile(input.files[0]);
    input.value = "";  // the same file may be chosen again
  });
  connectDrop({ onFile, onProblem });
  connectRecorder({ onFile, onStatus, onProblem });
  byId("example").addEventListener("click", async () => onFile(await makeExample(), true));
}

function connectDrop({ onFile, onProblem }) {
  addEventListener("dragover", event => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", event => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const { files } = event.dataTransfer;
    if (files.length === 1) return onFile(files[0]);
    return onProblem(files.length
      ? ownProblem("Several files", `${files.length} files were dropped, and this page shows one`,
        { remedy: "drop one file; POST /embed/batch takes many" })
      : ownProblem("No file", "what was dropped is no file", { remedy: "save it first, and drop the file" }));
  });
}

function connectRecorder({ onFile, onStatus, onProblem }) {
  const button = byId("record");
  const obstacle = recordingObstacle();
  if (obstacle) {
    button.disabled = true;
    byId("record-hint").textContent = obstacle;
    byId("record-hint").hidden = false;
  }
  let recording = null;
  button.addEventListener("click", async () => {
    if (recording) return recording.stop();
    button.disabled = true;  // while the browser asks its user
    try {
      recording = await startRecording(showLevel);
    } catch (error) {
      return onProblem(ownProblem("No microphone", `the browser gave no microphone: ${error.message}`,
        { remedy: "allow the microphone for this page in the browser's settings, or choose a file" }));
    } finally {
      button.disabled = false;
    }
    button.focus();  // which it lost while it was disabled
    toggle(button, true);
    onStatus("Recording, a minute at most …");
    const file = await recording.file;
    recording = null;
    toggle(button, false);
    return onFile(file, true);
  });
}

function showLevel(peak, seconds) {
  // A square root, so that speech fills half of the bar.
  byId("level-bar").style.width = `${100 * Math.sqrt(peak)}%`;
  byId("recorded").textContent = clock(Math.floor(seconds));
}

function toggle(button, isRecording) {
  button.setAttribute("aria-pressed", String(isRecording));
  button.textContent = isRecording ? "Stop and analyse" : "Record";
  byId("example").hidden = isRecording;
  byId("level").hidden = !isRecording;
}
