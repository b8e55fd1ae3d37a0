// The service: asked by its public calls, its problems in its own words, and what is done when it does not answer.

import { byId, control, fault, h } from "./elements.js";

/** @typedef {{pointer: string, code: string, message: string}} Fault */
/** @typedef {{body?: unknown, accept?: string, signal?: AbortSignal}} Asking */

const AGAIN_MS = 1500;
/** Where the key is kept, as long as the tab is open. */
const KEY = "criterion-key";
const NO_KEY = 401;

/** What the service says is wrong. */
export class Problem extends Error {
  /** @param {{detail?: string, errors?: Fault[]}} document @param {number} status */
  constructor(document, status) {
    super(document.detail ?? `the service answered ${status}`);
    this.status = status;
    /** @type {Fault[]} */
    this.faults = document.errors ?? [];
  }
  /** @param {RegExp} pointer @returns {string} what is said of a place, "" where nothing is */
  of(pointer) {
    return this.faults.find((fault) => pointer.test(fault.pointer))?.message ?? "";
  }
}

/** The service did not answer: said by the alert, and asked again when it is back. */
export class Lost extends Error {}

/** @type {Set<() => void>} */
const waiting = new Set();
let lost = 0;

/** @param {() => void} again what to do when the service is back */
export function onReturn(again) {
  waiting.add(again);
}

/** @param {string} path relative to this page @param {Asking} [asking] @returns {Promise<Response>} */
export async function ask(path, { body, accept = "application/json", signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  /** @type {RequestInit} */
  const request = { headers: { Accept: accept, ...(key ? { Authorization: `Bearer ${key}` } : {}) }, signal: signal ?? null };
  if (body !== undefined) Object.assign(request, { method: "POST", headers: { ...request.headers, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (signal?.aborted) throw error;
    gone();
    throw new Lost();
  }
  if (response.ok) return response;
  const problem = new Problem(await response.json().catch(() => ({})), response.status);
  if (response.status !== NO_KEY) throw problem;
  await keyed(problem.message);
  return ask(path, { body, accept, signal });
}

/** @type {Promise<void> | null} */
let keying = null;

/** Ask the reader for a key, once for all calls that wait for it. @param {string} why */
function keyed(why) {
  keying ??= new Promise((resolve) => {
    const form = byId("key");
    const field = control("key-text");
    form.hidden = false;
    fault("key-text", why);
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, field.value.trim());
      field.value = "";
      form.hidden = true;
      offered();
      keying = null;
      resolve();
    };
  });
  return keying;
}

/** Whether calls carry a key. */
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/** Another key can be used where there is one. */
function offered() {
  const forget = byId("forget");
  forget.hidden = !hasKey();
  forget.onclick = () => {
    sessionStorage.removeItem(KEY);
    location.reload();
  };
}
offered();

/** @param {string} path @param {Asking} [asking] @returns {Promise<any>} */
export async function json(path, asking) {
  const response = await ask(path, asking);
  try {
    return await response.json();
  } catch (error) {
    if (asking?.signal?.aborted) throw error;
    gone();
    throw new Lost();
  }
}

/** @type {Map<string, Promise<any>>} */
const kept = new Map();

/** The same, asked once, and waited for where the service is lost: for what stays as it is. @param {string} path @returns {Promise<any>} */
export function constant(path) {
  const found = kept.get(path) ?? json(path).catch(async (error) => {
    kept.delete(path);
    if (!(error instanceof Lost)) throw error;
    await new Promise((resolve) => onReturn(() => resolve(null)));
    return constant(path);
  });
  kept.set(path, found);
  return found;
}

/**
 * A stream of events, each as it comes.
 * @param {string} path @param {unknown} body @param {AbortSignal} signal
 * @returns {AsyncGenerator<{event: string, data: any}>}
 */
export async function* events(path, body, signal) {
  const response = await ask(path, { body, accept: "text/event-stream", signal });
  const reader = /** @type {ReadableStream<BufferSource>} */ (/** @type {unknown} */ (response.body)).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (signal.aborted) throw error;
      gone();
      throw new Lost();
    }
    if (piece.done) return;
    text += piece.value;
    const blocks = text.split("\n\n");
    text = /** @type {string} */ (blocks.pop());
    for (const block of blocks) {
      const lines = block.split("\n");
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield { event: lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message", data: JSON.parse(data) };
    }
  }
}

/** Each call ends what the one before began. @returns {() => AbortSignal} */
export function lane() {
  let controller = new AbortController();
  return () => {
    controller.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

/**
 * Do something of which a newer one may take the place, and say what is wrong.
 * @param {AbortSignal} signal @param {() => Promise<void>} work @param {(problem: Problem) => void} refused
 */
export async function trying(signal, work, refused) {
  try {
    await work();
  } catch (error) {
    if (signal.aborted || error instanceof Lost) return;
    if (!(error instanceof Problem)) throw error;
    refused(error);
  }
}

function gone() {
  if (lost) return;
  const again = h("button", { type: "button", onclick: back }, "Try again");
  byId("lost").replaceChildren(h("div", { class: "alert" }, h("span", {}, "The service does not answer. Your work is kept; trying again"), again));
  lost = window.setTimeout(back, AGAIN_MS);
}

async function back() {
  clearTimeout(lost);
  lost = window.setTimeout(back, AGAIN_MS);
  const answer = await fetch("health/ready").catch(() => null);
  if (!answer?.ok || !lost) return;
  clearTimeout(lost);
  lost = 0;
  byId("lost").replaceChildren();
  for (const again of waiting) again();
}
