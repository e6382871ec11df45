// The three ways in: a chosen file, a dropped one, a recording.

import { recordingObstacle, startRecording } from "./audio.js";
import { byId } from "./dom.js";
import { ownProblem } from "./problem.js";

export function connectInput({ onFile, onStatus, onProblem }) {
  const input = byId("file");
  input.addEventListener("change", () => {
    if (input.files.length) onFile(input.files[0]);
    input.value = "";  // the same file may be chosen again
  });
  connectDrop({ onFile, onProblem });
  connectRecorder({ onFile, onStatus, onProblem });
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
    button.title = obstacle;
  }
  let recording = null;
  button.addEventListener("click", async () => {
    if (recording) return recording.stop();
    try {
      recording = await startRecording();
    } catch (error) {
      return onProblem(ownProblem("No microphone", `the browser gave no microphone: ${error.message}`,
        { remedy: "allow the microphone for this page in the browser's settings, or choose a file" }));
    }
    toggle(button, true);
    onStatus("Recording, a minute at most …");
    const file = await recording.file;
    recording = null;
    toggle(button, false);
    return onFile(file);
  });
}

function toggle(button, isRecording) {
  button.setAttribute("aria-pressed", String(isRecording));
  button.textContent = isRecording ? "Stop and analyse" : "Record";
}
