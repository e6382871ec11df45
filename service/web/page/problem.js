// An error, as the service states it: what was wrong, the value, the limit and the remedy.

import { ProblemError } from "./api.js";
import { byId, element } from "./dom.js";

export function clearProblem() {
  byId("problem").hidden = true;
  byId("problem").replaceChildren();
}

/** Show an error; `retry` is what its button does, where another attempt may succeed. */
export function showProblem(error, retry = null) {
  const { problem, requestId, retryAfterS } = error instanceof ProblemError ? error
    : { problem: { title: "Error of this page", detail: String(error) } };
  const facts = [
    ["found", problem.value], ["limit", problem.limit], ["remedy", problem.remedy],
    ["type", problem.type], ["status", problem.status], ["request", requestId],
  ].filter(([, value]) => value !== undefined && value !== null);
  const list = element("dl", {}, ...facts.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: value })]));
  const section = byId("problem");
  section.replaceChildren(element("h2", { textContent: problem.title }),
    element("p", { textContent: problem.detail }), list);
  if (retry && (retryAfterS || !problem.status)) section.append(retryButton(retry, retryAfterS));
  section.hidden = false;
  section.focus();
}

function retryButton(retry, retryAfterS) {
  const wait = retryAfterS ? ` (the service asks to wait ${retryAfterS} s)` : "";
  const button = element("button", { type: "button", textContent: `Try again${wait}` });
  button.addEventListener("click", retry);
  return button;
}

/** A problem of this page's own, in the same form. */
export function ownProblem(title, detail, rest = {}) {
  return new ProblemError({ title, detail, ...rest });
}
