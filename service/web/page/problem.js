// An error, as the service states it: what was wrong, the value, the limit and the remedy.

import { ProblemError } from "./api.js";
import { byId, element } from "./dom.js";

export function clearProblem() {
  const section = byId("problem"), hasFocus = section.contains(document.activeElement);
  section.hidden = true;
  section.replaceChildren();
  if (hasFocus) byId("status").focus();  // else the next Tab would begin at the top of the page
}

/** Show an error, and the name of the file that it is about.
 *
 * `retry` is what a button does, where another attempt may succeed.
 */
export function showProblem(error, { retry = null, fileName = null } = {}) {
  const { problem, requestId, retryAfterS } = error instanceof ProblemError ? error
    : { problem: { title: "Error of this page", detail: String(error) } };
  const facts = [
    ["file", fileName], ["found", problem.value], ["limit", problem.limit], ["remedy", problem.remedy],
    ["type", problem.type], ["status", problem.status], ["request", requestId],
  ].filter(([, value]) => value !== undefined && value !== null);
  const list = element("dl", {}, ...facts.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: value })]));
  const section = byId("problem");
  section.replaceChildren(element("h2", { textContent: problem.title }),
    element("p", { textContent: problem.detail }), list);
  if (retry && mayPass(problem.status)) section.append(retryButton(retry, retryAfterS));
  section.hidden = false;
  section.focus();
}

/** Whether it may pass by itself: no answer, a timeout, too many requests, a failure of the service. */
function mayPass(status) {
  return !status || status === 408 || status === 429 || status >= 500;
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
