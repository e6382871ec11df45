// Audio in the browser: peaks for the waveform, and recordings of the microphone.

const DRAWING_RATE = 8000;  // Hz: enough for peaks, and a song is 2 MB a minute
const MAX_DRAWN_BYTES = 200 << 20;
const MAX_RECORDING_MS = 60_000;

/** Decode a file for drawing: {samples, duration_s}; null where this browser cannot read it. */
export async function decodeForDrawing(file) {
  if (file.size > MAX_DRAWN_BYTES) return null;
  try {
    const context = new OfflineAudioContext(1, 1, DRAWING_RATE);
    const decoded = await context.decodeAudioData(await file.arrayBuffer());
    return { samples: decoded.getChannelData(0), duration_s: decoded.duration };
  } catch {  // a format that the service reads and the browser does not, or no audio
    return null;
  }
}

/** Minimum and maximum of the samples of each of `n` columns. */
export function peaks(samples, n) {
  const columns = [];
  for (let column = 0; column < n; column++) {
    const first = Math.floor(column * samples.length / n);
    const end = Math.max(first + 1, Math.floor((column + 1) * samples.length / n));
    let low = 1, high = -1;
    for (let index = first; index < end && index < samples.length; index++) {
      if (samples[index] < low) low = samples[index];
      if (samples[index] > high) high = samples[index];
    }
    columns.push([Math.min(low, high), Math.max(low, high)]);
  }
  return columns;
}

/** What keeps this page from recording, or null. */
export function recordingObstacle() {
  if (!window.isSecureContext) {
    return "Browsers give the microphone to https:// and localhost alone.";
  }
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
    return "This browser cannot record.";
  }
  return null;
}

/** Record the microphone until `stop` is called, or for a minute.
 *
 * `onLevel(peak, seconds)` is called at each picture of the screen; the peak is 0 to 1. The microphone is given back when
 * the recording ends.
 */
export async function startRecording(onLevel) {
  const stream = await navigator.mediaDevices.getUserMedia({
    // Processing for telephone calls would change what is heard.
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const recorder = new MediaRecorder(stream), parts = [];
  const stopLevel = watchLevel(stream, onLevel);
  recorder.addEventListener("dataavailable", event => parts.push(event.data));
  const file = new Promise(resolve => recorder.addEventListener("stop", () => {
    stopLevel();
    stream.getTracks().forEach(track => track.stop());
    const type = recorder.mimeType.split(";")[0] || "audio/webm";
    const suffix = type.split("/")[1].replace("mp4", "m4a");
    resolve(new File(parts, `recording.${suffix}`, { type }));
  }));
  const stop = () => { if (recorder.state !== "inactive") recorder.stop(); };
  recorder.start();
  setTimeout(stop, MAX_RECORDING_MS);
  return { file, stop };
}

/** Call `onLevel` with the peak of the last samples and the seconds since the start; stopped by the function returned. */
function watchLevel(stream, onLevel) {
  const context = new AudioContext(), analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize), started_ms = performance.now();
  let isRunning = true;
  const look = () => {
    if (!isRunning) return;
    analyser.getFloatTimeDomainData(samples);
    onLevel(Math.min(1, Math.max(...samples.map(Math.abs))), (performance.now() - started_ms) / 1000);
    requestAnimationFrame(look);
  };
  look();
  return () => {
    isRunning = false;
    context.close();
  };
}
