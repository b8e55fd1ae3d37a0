// The state of the page is what stands behind # in its address. Keys are paths of a request's fields.

/** @typedef {null | boolean | number | string | any[] | {[key: string]: any}} Json */
/** @typedef {{[key: string]: Json}} Fields */

const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const REST_MS = 250;
/** Text whatever it looks like. */
const TEXTS = new Set(["loss.value"]);

/** @type {URLSearchParams} */
let state = new URLSearchParams(location.hash.slice(1));
/** @type {Set<(source: unknown) => void>} */
const listeners = new Set();
let pending = 0;
let wrote = -REST_MS;

/** @param {string} key @returns {string} the text at a key, "" where there is none */
export const at = (key) => state.get(key) ?? "";

/** @param {(source: unknown) => void} listener told of every change, with what has made it */
export function onChange(listener) {
  listeners.add(listener);
}

/**
 * Change keys (null removes one) and tell everybody.
 * @param {Record<string, string | null>} changes
 * @param {{push?: boolean, source?: unknown}} [how] push: choosing makes a step of the history; typing and dragging do not
 */
export function change(changes, { push = false, source = null } = {}) {
  for (const [key, text] of Object.entries(changes)) {
    if (text === null) state.delete(key);
    else state.set(key, text);
  }
  const write = () => {
    wrote = performance.now();
    history[push ? "pushState" : "replaceState"](null, "", `#${String(state).replace(/%2C/g, ",").replace(/%2F/g, "/").replace(/%3A/g, ":")}`);
  };
  clearTimeout(pending);
  if (push || performance.now() > wrote + REST_MS) write();
  else pending = window.setTimeout(write, REST_MS); // browsers do not let an address change at every step of a drag
  for (const listener of listeners) listener(source);
}

window.addEventListener("hashchange", read);
window.addEventListener("popstate", read);

function read() {
  const found = new URLSearchParams(location.hash.slice(1));
  if (found.toString() === state.toString()) return;
  if (location.hash.match(/^#view=\w+$/)) found.forEach((text, key) => state.set(key, text)); // a link to a panel keeps the rest
  else state = found;
  for (const listener of listeners) listener(null);
}

/** @param {Fields} fields @returns {string} as the parameters of an address */
export const queried = (fields) => String(new URLSearchParams(Object.entries(fields).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)])));

/** @param {string} text @returns {Json} what a text is as a value */
export function valueOf(text) {
  if (NUMBER.test(text)) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  const parts = text.split(",");
  return parts.length > 1 && parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : text;
}

/** @param {Json} value @returns {string} a value as it stands in the address */
function textOf(value) {
  if (Array.isArray(value) && value.length > 1 && value.every((item) => typeof item === "number")) return value.join(",");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {any} value @param {string} path of fields, with dots between @returns {any} what is there, undefined where nothing is */
export const inside = (value, path) => path.split(".").reduce((found, name) => found?.[name], value);

/**
 * What stands at a key and below it, as a request has it: a thing's name at its own key, its parameters below.
 * @param {string} key @returns {Json | undefined}
 */
export function nested(key) {
  /** @type {Set<string>} */
  const below = new Set();
  for (const name of state.keys()) if (name.startsWith(`${key}.`)) below.add(name.slice(key.length + 1).split(".")[0]);
  const own = state.get(key);
  if (!below.size) return own === null ? undefined : TEXTS.has(key) ? own : valueOf(own);
  if (own === null && [...below].every((name) => /^\d+$/.test(name))) {
    return [...below].map(Number).sort((a, b) => a - b).map((index) => nested(`${key}.${index}`) ?? null);
  }
  /** @type {Fields} */
  const fields = own === null ? {} : { name: own };
  for (const name of below) {
    const value = nested(`${key}.${name}`);
    if (value !== undefined) fields[name] = value;
  }
  return fields;
}

/**
 * The changes that put a value at a key, and take away what stands there and below.
 * @param {string} key @param {Json | undefined} value @returns {Record<string, string | null>}
 */
export function placed(key, value) {
  /** @type {Record<string, string | null>} */
  const changes = {};
  for (const name of state.keys()) if (name === key || name.startsWith(`${key}.`)) changes[name] = null;
  put(changes, key, value);
  return changes;
}

/** @param {Record<string, string | null>} changes @param {string} key @param {Json | undefined} value */
function put(changes, key, value) {
  if (value === undefined) return;
  const whole = value !== null && typeof value === "object" && (!Array.isArray(value) || value.some((item) => item !== null && typeof item === "object" && !Array.isArray(item)));
  if (!whole) {
    changes[key] = textOf(value);
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    if (name === "name" && !Array.isArray(value)) changes[key] = textOf(item);
    else put(changes, `${key}.${name}`, item);
  }
}
