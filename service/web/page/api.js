// Requests to the service. Addresses are relative, so that a proxy may serve the page below a path.

// The key stays in this module: no form sends it and nothing stores it.
let apiKey = "";

export function setKey(key) {
  apiKey = key.trim();
}

export function hasKey() {
  return apiKey !== "";
}

/** An error of a request, with the fields of RFC 9457 as the service answers them. */
export class ProblemError extends Error {
  constructor(problem, { requestId = null, retryAfterS = null } = {}) {
    super(problem.detail);
    Object.assign(this, { problem, requestId, retryAfterS });
  }
}

/** Send a request; its response, or a `ProblemError`. */
export async function send(path, options = {}) {
  const headers = { ...options.headers, ...(apiKey ? { "X-API-Key": apiKey } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ProblemError({
      title: "No answer",
      detail: `the connection to ${location.origin} failed before an answer came`,
      remedy: "check that the service runs, and try again; a file that changed after it was chosen has to be chosen again",
    });
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** The problem of a response that is an error; one of a proxy may have no JSON. */
async function problemOf(response) {
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  const requestId = response.headers.get("X-Request-ID");
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = {};
  }
  if (typeof problem?.title !== "string") {
    problem = {
      title: `Error ${response.status}`,
      status: response.status,
      detail: `the answer of ${response.url} is not one of the service`,
      remedy: "a proxy in front of the service may have a limit of its own",
    };
  }
  return new ProblemError(problem, { requestId, retryAfterS });
}

/** Post a file as the multipart field `file`. */
export function postFile(path, query, file, signal) {
  const form = new FormData();
  form.append("file", file, file.name);
  return send(`${path}?${new URLSearchParams(query)}`, { method: "POST", body: form, signal });
}

export async function getJson(path) {
  return (await send(path)).json();
}

/** Stages of a `Server-Timing` header: [{name, ms}]. */
export function parseServerTiming(header) {
  const stages = [];
  for (const entry of (header ?? "").split(",")) {
    const [name, ...parameters] = entry.split(";").map(part => part.trim());
    const duration = parameters.find(parameter => parameter.startsWith("dur="));
    if (name && duration) stages.push({ name, ms: Number(duration.slice(4)) });
  }
  return stages;
}
