// Talks to the hub: the server API, and the console's own endpoints. The key lives as long as the tab does.

const KEY = "hub-console-key";

export class Refused extends Error {
  constructor(status, error) {
    const detail = error.detail ? `: ${error.detail}` : "";
    super(`${error.message ?? "the hub answered " + status}${detail}`);
    this.status = status;
    this.code = error.code ?? 0;
  }
}

export const session = {
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
  onLost: () => {},
};

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      headers: { "X-API-Key": session.key, ...options.headers },
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The hub cannot be reached" });
  }
  if (response.status === 401 && session.key) session.onLost();
  return response;
}

async function bodyOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy in between answers in its own words.
  }
  if (!response.ok || body.error) throw new Refused(response.status, body.error ?? {});
  return body;
}

// A method of the server API; its result.
export async function call(method, params = {}) {
  const options = { method: "POST", body: JSON.stringify(params), headers: { "Content-Type": "application/json" } };
  return (await bodyOf(await ask(`../api/${method}`, options))).result;
}

export async function look(name) {
  return bodyOf(await ask(`api/${name}`));
}

let methods;

// Whether this hub has a method: an older one may know fewer.
export async function has(method) {
  methods ??= bodyOf(await ask("../api/openapi.json")).then((document) => new Set(Object.keys(document.paths)));
  return (await methods).has(`/api/${method}`);
}

// Every line of a channel's watch, until `signal` is aborted or the hub ends it.
export async function* watch(channel, signal) {
  const response = await ask(`api/watch?channel=${encodeURIComponent(channel)}`, { signal });
  if (!response.ok) await bodyOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}
