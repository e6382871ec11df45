// The models' answers: bars of labels and values, the embedding, the nearest songs.

import { bar, barTable, byId, colour, element, keepDrawn, prepareCanvas } from "./dom.js";

const FIRST_TASKS = ["tags", "genre", "mood", "emotion"];
const SHOWN_LABELS = 12;

const percent = share => `${(100 * share).toFixed(1)} %`;
const words = name => name.replaceAll("_", " ");
const title = name => words(name).replace(/^./, letter => letter.toUpperCase());

/** Cards of every model of an analysis that has labels or values, or a problem. */
export function showTasks(analysis) {
  const place = name => (FIRST_TASKS.indexOf(name) + FIRST_TASKS.length + 1) % (FIRST_TASKS.length + 1);
  const shown = Object.entries(analysis.models)
    .filter(([, answer]) => answer.labels || answer.values || answer.problem)
    .sort(([a], [b]) => place(a) - place(b));
  byId("tasks").replaceChildren(...shown.map(([name, answer]) => taskCard(name, answer)));
}

function taskCard(name, answer) {
  const card = element("section", { className: "card" }, element("h2", { textContent: title(name) }));
  if (answer.problem) {
    card.append(element("p", { textContent: `${answer.problem.title}: ${answer.problem.detail}` }));
  } else if (answer.labels) {
    card.append(...labelTables(answer));
  } else {
    card.append(valueTable(answer.values));
  }
  const { version, precision } = answer.model;
  card.append(element("p", { className: "hint",
    textContent: `${answer.model.name} ${version}, ${precision}` }));
  return card;
}

function labelTables({ labels, multilabel, groups }) {
  const row = ({ label, probability }) => [words(label), probability, percent(probability)];
  const caption = multilabel ? "Probability of each: several may apply" : "Probabilities: one of these applies";
  const parts = [barTable(caption, labels.slice(0, SHOWN_LABELS).map(row))];
  if (labels.length > SHOWN_LABELS) {
    parts.push(element("details", {},
      element("summary", { textContent: `${labels.length - SHOWN_LABELS} more` }),
      barTable("Less probable", labels.slice(SHOWN_LABELS).map(row))));
  }
  if (groups) {
    const rows = Object.entries(groups).map(([name, share]) => [words(name), share, percent(share)]);
    parts.push(barTable("Added up over labels", rows));
  }
  return parts;
}

function valueTable(values) {
  const largest = Math.max(1, ...Object.values(values).map(Math.abs));
  const rows = Object.entries(values).sort(([, a], [, b]) => b - a).map(([name, value]) =>
    [words(name), Math.abs(value) / largest, value.toFixed(3).replace("-", "−"), value < 0]);
  return barTable("Predicted value", rows);
}

/** The answer of the first encoder with an embedding: [name, answer], or undefined. */
export function encoderOf(analysis) {
  return Object.entries(analysis.models).find(([, answer]) => answer.kind === "encoder" && answer.embedding);
}

export class EmbeddingBars {
  constructor(canvas) {
    this.canvas = canvas;
    this.vector = [];
    keepDrawn(canvas, () => this.draw());
  }

  show(name, { embedding, model }) {
    this.vector = embedding;
    const space = model.space ? `, CF space ${model.space.slice(0, 12)}` : "";
    const text = `${embedding.length} dimensions by ${name} ${model.version}, ${model.precision}${space}. `
      + "Compare it by cosine, and only with vectors of the same space.";
    byId("embedding-text").textContent = text;
    this.canvas.setAttribute("aria-label", `Embedding as bars: ${text}`);
    this.draw();
  }

  draw() {
    const { context, width, height } = prepareCanvas(this.canvas);
    const step = width / this.vector.length;
    const largest = Math.max(...this.vector.map(Math.abs), 1e-9);
    this.vector.forEach((value, index) => {
      context.fillStyle = colour(value < 0 ? "--negative" : "--bar");
      const length = Math.abs(value) / largest * (height / 2 - 2);
      const top = value < 0 ? height / 2 : height / 2 - length;
      context.fillRect(index * step + 1, top, Math.max(step - 2, 1), length);
    });
  }
}

export function showHits({ hits, catalogue }) {
  const row = hit => element("tr", {},
    element("td", { className: "rank", textContent: hit.rank }),
    element("th", { scope: "row", textContent: songName(hit) }),
    bar(Math.max(hit.cosine, 0)),
    element("td", { className: "number", textContent: hit.cosine.toFixed(3) }),
    element("td", { className: "number", textContent: hit.percentile.toFixed(1) }));
  const column = (name, className = "") => element("th", { scope: "col", textContent: name, className });
  const noBars = element("td");
  noBars.setAttribute("aria-hidden", "true");
  const head = [column("#", "rank"), column("song"), noBars, column("cosine", "number"), column("percentile", "number")];
  const caption = `Of ${catalogue.tracks} tracks, by ${catalogue.model}. Percentile: share of them that are less similar`;
  byId("hits").replaceChildren(element("table", {}, element("caption", { textContent: caption }),
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...hits.map(row))));
}

function songName({ title: name, artist, track_id: trackId }) {
  if (!name) return artist ? `${artist}: ${trackId}` : trackId;
  return artist ? `${artist} – ${name}` : name;
}
