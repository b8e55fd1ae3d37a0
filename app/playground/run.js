// A run: streamed from the service, and played at a pace that can be watched.

import { events, Lost, Problem } from "./service.js";

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {{epoch: number, training_loss: number, validation_loss: number | null, metrics: Record<string, {training: number | null, validation: number | null}>, learning_rate: number | null, gradient_norm: number | null, surface?: Surface}} Epoch */
/** @typedef {{axes: number[][], predictions: any}} Surface */
/** @typedef {"playing" | "paused" | "ended"} Phase */
/**
 * @typedef {{name: string, request: Fields, setup: any, history: Epoch[], shown: number, answer: any, surface: Surface | null,
 *   phase: Phase, ended: string, seen: boolean}} Run  shown: how many epochs have been played; ended: how, in a sentence
 */

const WHOLE_MS = 4000;
const still = matchMedia("(prefers-reduced-motion: reduce)"); // epochs are then seen as they come
const FRAME_MS = 70;
/** There is no place for a run just now, as that of the one before may still be taken. */
const BUSY = 503;
const AGAIN_MS = 1000;
const MOST_TRIES = 20;

/** @param {string} name @param {Fields} request @returns {Run} */
export function newRun(name, request) {
  return { name, request, setup: null, history: [], shown: 0, answer: null, surface: null, phase: "playing", ended: "", seen: true };
}

/**
 * Stream a run and play it.
 * @param {Run} run
 * @param {{frame: () => void, end: () => void, refused: (problem: Problem) => void}} told frame: another epoch is seen
 */
export function play(run, { frame, end, refused }) {
  const controller = new AbortController();
  const planned = Number(run.request.epochs ?? 100);
  let last = performance.now();
  let due = 0;
  let timer = 0;
  let tries = 0;
  let stepping = false;
  const over = () => run.answer !== null && run.shown >= run.history.length;
  const finish = (/** @type {string} */ how) => {
    if (run.phase === "ended") return;
    clearInterval(timer);
    controller.abort();
    run.phase = "ended";
    run.ended = how;
    end();
  };
  const show = (/** @type {number} */ count) => {
    const before = run.shown;
    run.shown = Math.min(count, run.history.length);
    for (let index = before; index < run.shown; index++) run.surface = run.history[index].surface ?? run.surface;
    if (over()) {
      if (run.answer.surface) run.surface = run.answer.surface;
      finish("");
    } else if (run.shown > before) frame();
  };
  const tick = () => {
    const now = performance.now();
    if (run.phase === "playing") {
      due = still.matches ? run.history.length : Math.min(due + ((now - last) / WHOLE_MS) * planned, run.history.length);
      show(Math.max(Math.floor(due), run.shown));
    } else if (stepping && run.history.length > run.shown) {
      stepping = false;
      show(run.shown + 1);
    }
    last = now;
  };
  const read = async () => {
    try {
      for await (const { event, data } of events("v1/train", run.request, controller.signal)) {
        if (event === "start") run.setup = data;
        else if (event === "epoch") run.history.push(data);
        else if (event === "error") throw new Problem(data, 500);
        else if (event === "end") {
          run.answer = data;
          if (!run.history.length) finish("");
        }
      }
      if (!run.answer) throw new Lost();
    } catch (error) {
      if (controller.signal.aborted) return;
      if (error instanceof Problem && error.status === BUSY && !run.history.length && run.phase !== "ended" && tries++ < MOST_TRIES) {
        window.setTimeout(read, AGAIN_MS);
        return;
      }
      finish(error instanceof Lost ? `The service was lost at epoch ${run.shown}` : "");
      if (error instanceof Problem) refused(error);
      else if (!(error instanceof Lost)) throw error;
    }
  };
  timer = window.setInterval(tick, FRAME_MS);
  void read();
  return {
    pause: () => run.phase === "playing" && (run.phase = "paused"),
    resume: () => {
      due = run.shown;
      if (run.phase === "paused") run.phase = "playing";
    },
    step: () => {
      run.phase = "paused";
      stepping = true; // the next epoch may be still to come
    },
    stop: () => finish(`Stopped at epoch ${run.shown}`),
  };
}

const MOST_POINTS = 1500;

/** @param {Run} run @returns {Epoch[]} what has been played, thinned to what a screen has columns for */
export function played(run) {
  const shown = run.history.slice(0, run.shown);
  const every = Math.ceil(shown.length / (MOST_POINTS - 1)); // and the last
  return every > 1 ? shown.filter((_, index) => index % every === 0 || index === shown.length - 1) : shown;
}

/** A mean over the epochs before, of which each counts less. @param {(number | null)[]} numbers @param {number} keep in [0, 1) */
export function smoothed(numbers, keep) {
  let mean = 0;
  let weight = 0;
  return numbers.map((number) => {
    if (number === null) return null;
    mean = keep * mean + (1 - keep) * number;
    weight = keep * weight + (1 - keep);
    return mean / weight;
  });
}
