// How an answer was made: stage times, the cache, and the same request in other programs.

import { barTable, byId } from "./dom.js";
import { hasKey } from "./api.js";

const STAGES = {
  upload: "upload", cache: "look up in the cache", decode: "decode", queue: "wait for the network",
  infer: "run the networks", remember: "store in the cache", shared: "wait for an equal request",
};

/** Bars of the stages; `total_ms` is what this page waited. */
export function showStages(stages, total_ms) {
  const rows = stages.map(({ name, ms }) => [STAGES[name] ?? name, ms / total_ms, `${ms.toFixed(1)} ms`]);
  rows.push(["until this page had it", 1, `${total_ms.toFixed(1)} ms`]);
  const caption = "Stages of the service overlap: several networks run at a time";
  byId("stages").replaceChildren(barTable(caption, rows));
}

export function showCache(models) {
  const answers = Object.entries(models).filter(([, answer]) => !answer.problem);
  const cached = answers.filter(([, answer]) => answer.cached).map(([name]) => name);
  const computed = answers.filter(([, answer]) => !answer.cached).map(([name]) => name);
  const parts = [];
  if (cached.length) parts.push(`From the cache: ${cached.join(", ")}.`);
  if (computed.length) parts.push(`Computed for this request: ${computed.join(", ")}.`);
  byId("cache").textContent = parts.join(" ");
}

// Inside single quotes a shell takes everything as it is, but for the quote itself.
const quoted = text => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Address of the same analysis, whole, as another program needs it. */
function address(window_) {
  return `${new URL("analyze", document.baseURI)}?${new URLSearchParams({ window: window_ })}`;
}

export function curlLine(name, window_) {
  const key = hasKey() ? ` -H ${quoted("X-API-Key: <key>")}` : "";
  // curl reads ; and , in a file name of -F, unless it stands in double quotes.
  const file = `file=@"${name.replace(/["\\]/g, String.raw`\$&`)}"`;
  return `curl${key} -F ${quoted(file)} ${quoted(address(window_))}`;
}

export function pythonLines(name, window_) {
  const headers = { "Content-Type": "application/octet-stream", ...(hasKey() ? { "X-API-Key": "<key>" } : {}) };
  return `import json
import urllib.request
from pathlib import Path

request = urllib.request.Request(
    ${JSON.stringify(address(window_))},
    data=Path(${JSON.stringify(name)}).read_bytes(),
    headers=${JSON.stringify(headers)},
)
with urllib.request.urlopen(request) as response:
    answer = json.load(response)
for name, model in answer["models"].items():
    print(name, model.get("labels") or model.get("values") or model.get("embedding"))`;
}

export function showRequest(name, window_) {
  byId("curl").textContent = curlLine(name, window_);
  byId("python").textContent = pythonLines(name, window_);
}
