// An example to start with: chords made in the browser, so that nothing is downloaded.

const RATE = 22050, CHORD_S = 2;  // Hz, seconds
const CHORDS = [[57, 60, 64], [53, 57, 60], [48, 52, 55], [55, 59, 62]];  // MIDI: Am F C G
const N_CHORDS = 20;

const frequency = note => 440 * 2 ** ((note - 69) / 12);

/** Forty seconds of plucked chords over a bass as a WAV file. */
export async function makeExample() {
  const context = new OfflineAudioContext(1, N_CHORDS * CHORD_S * RATE, RATE);
  for (let index = 0; index < N_CHORDS; index++) {
    const chord = CHORDS[index % CHORDS.length], start_s = index * CHORD_S;
    pluck(context, "triangle", chord[0] - 24, start_s, CHORD_S, 0.3);
    for (let step = 0; step < 8; step++) {
      const note = chord[step % 3] + 12 * (step % 2);
      pluck(context, "sawtooth", note, start_s + step * CHORD_S / 8, CHORD_S / 2, 0.12);
    }
  }
  const samples = (await context.startRendering()).getChannelData(0);
  return new File([wav(samples)], "example.wav", { type: "audio/wav" });
}

function pluck(context, type, note, start_s, length_s, gain) {
  const oscillator = new OscillatorNode(context, { type, frequency: frequency(note) });
  const volume = new GainNode(context, { gain: 0 });
  volume.gain.setValueAtTime(gain, start_s);
  volume.gain.exponentialRampToValueAtTime(gain / 100, start_s + length_s);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(start_s);
  oscillator.stop(start_s + length_s);
}

/** Mono samples as WAV of 16 bits: http://soundfile.sapp.org/doc/WaveFormat/. */
function wav(samples) {
  const n_bytes = 2 * samples.length, view = new DataView(new ArrayBuffer(44 + n_bytes));
  const word = (offset, text) => [...text].forEach((letter, index) => view.setUint8(offset + index, letter.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + n_bytes, true); word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true); view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); word(36, "data"); view.setUint32(40, n_bytes, true);
  samples.forEach((sample, index) =>
    view.setInt16(44 + 2 * index, Math.round(32767 * Math.min(Math.max(sample, -1), 1)), true));
  return view.buffer;
}
