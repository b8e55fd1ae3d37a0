// The curve of a loss of several numbers: one of them moves, the others stay.

import { exact } from "./elements.js";
import { colour, quantity } from "./figure.js";
import { json, Problem } from "./service.js";

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {import("./address.js").Json} Json */
/**
 * @typedef {{kind: string, target: number, low: number, high: number, words: string, request: (x: number) => Fields,
 *   slope: (gradient: any) => number | null}} Axis
 */

const POINTS = 121;
const SCALARS = /^n( \*d)?$/;
/** How far a curve keeps from what its predictions end, as a share of its length: a loss may be infinite there. */
const MARGIN = 0.01;

/** @param {any} entry of the catalogue @returns {boolean} whether the service draws its curve */
export function hasCurve(entry) {
  if (entry.family === "composed" && entry.name !== "multi_task") return true;
  const sides = [entry.predictions, entry.targets];
  const scalar = sides.every((side) => Array.isArray(side) && side.some((/** @type {any} */ encoding) => encoding.shapes.some((/** @type {string} */ shape) => SCALARS.test(shape))));
  return scalar && entry.coupling === "sample" && entry.predictions[0].name !== "label";
}

/** @param {Json} side an array, or several by name @param {(array: Json) => Json} work what each becomes @returns {any} */
const each = (side, work) => (side && typeof side === "object" && !Array.isArray(side) ? Object.fromEntries(Object.entries(side).map(([name, array]) => [name, work(array)])) : work(side));

/** @param {any} body @param {(array: Json) => Json} work @returns {any} with other arrays */
const withArrays = (body, work) => ({ ...body, ...Object.fromEntries(["predictions", "targets", "sample_weight", "mask"].filter((name) => body[name] !== undefined).map((name) => [name, each(body[name], work)])) });

/** @param {Json} array @returns {Json} the first number in it, with the way there */
function firstNumber(array) {
  return Array.isArray(array) ? firstNumber(array[0]) : array;
}

/** @param {Json} array @param {number} number @returns {Json} the same array with another first number */
function withFirst(array, number) {
  return Array.isArray(array) ? [withFirst(array[0], number), ...array.slice(1)] : number;
}

/**
 * A curve over the first number of the first sample of the loss's example.
 * @param {any} entry @param {Fields} given @param {AbortSignal} signal
 */
export async function along(entry, given, signal) {
  const example = entry.example_request;
  const names = Array.isArray(example.predictions) ? [""] : Object.keys(example.predictions);
  const first = names[0];
  const encodings = Array.isArray(entry.predictions) ? entry.predictions : entry.predictions[first];
  const logarithms = encodings.some((/** @type {any} */ found) => found.name === "log_probabilities") && entry.parameters.from_logits;
  const loss = logarithms ? { from_logits: true, ...given } : given; // they are logits too, of which one may move alone
  const logits = loss.from_logits ?? example.loss?.from_logits ?? entry.parameters.from_logits?.default ?? true;
  const { name: encoding, range } = (!logits && encodings.find((/** @type {any} */ found) => !/logit/.test(found.name))) || encodings[0] || { name: "" };
  const none = (/** @type {string} */ why) => new Problem({ detail: `${entry.name} has no curve: ${why}` }, 0); // which the page knows by itself
  if (entry.coupling !== "sample") throw none("a sample costs what it does beside the others of its batch, and a curve has one sample");
  if (["label", "multi_hot"].includes(encoding)) throw none("its predictions are classes, and nothing lies between two of them");
  if (entry.name === "multi_task") throw none("each of its heads has one");
  const base = withArrays({ ...example, loss: { ...example.loss, ...loss } }, (array) => (Array.isArray(array) ? [array[0]] : array));
  const array = /** @type {Json[]} */ (first ? base.predictions[first] : base.predictions);
  const sample = array[0];
  const start = Number(firstNumber(sample));
  const row = Array.isArray(sample) && sample.every((item) => typeof item === "number") ? /** @type {number[]} */ (sample) : null;
  const simplex = row !== null && loss.from_logits !== true && encodings.some((/** @type {any} */ found) => /distribution|log_probabilities/.test(found.name)) && closeTo(row.reduce((sum, item) => sum + item, 0), 1) && row.every((item) => item >= 0);
  const logs = row !== null && closeTo(row.reduce((sum, item) => sum + Math.exp(item), 0), 1) && /log_prob/.test(encoding);
  if (logs) throw none("its rows are logarithms that belong together, and none of them moves alone");
  const [least, most] = simplex ? [0, 1] : [range[0] ?? -Infinity, range[1] ?? Infinity];
  const reach = Math.max(3, 1.5 * Math.abs(start));
  const edge = /^box/.test(encoding) && row ? row[2] : Infinity; // a box ends where it begins, or beyond
  const ends = [Math.max(least, start - reach), Math.min(most, edge, start + reach)];
  const margin = MARGIN * (ends[1] - ends[0]);
  const [low, high] = [ends[0] + (ends[0] === least ? margin : 0), ends[1] - (ends[1] === most ? margin : 0)];
  const others = simplex ? (/** @type {number} */ x) => row.map((item, index) => (index ? (item * (1 - x)) / (1 - start || 1) : x)) : null;
  const moved = (/** @type {number} */ x) => (others ? others(x) : withFirst(sample, x));
  const request = (/** @type {number[]} */ xs) => {
    const asked = withArrays(base, (array) => (Array.isArray(array) ? xs.map(() => array[0]) : array));
    return { ...asked, predictions: first ? { ...asked.predictions, [first]: xs.map(moved) } : xs.map(moved) };
  };
  const direction = simplex ? row.map((item, index) => (index ? -item / (1 - start || 1) : 1)) : null;
  const slope = (/** @type {any} */ gradient, index = 0) => {
    const of = first ? gradient?.[first]?.[index] : gradient?.[index];
    if (direction && Array.isArray(of)) return of.reduce((sum, part, place) => sum + part * direction[place], 0);
    const number = firstNumber(of);
    return typeof number === "number" ? number : null;
  };
  const xs = Array.from({ length: POINTS }, (_, index) => low + ((high - low) * index) / (POINTS - 1));
  const outputs = entry.differentiable ? ["per_sample", "gradient"] : ["per_sample"];
  const answer = await json("v1/evaluate", { body: { ...request(xs), reduction: "sum", outputs }, signal });
  const values = answer.per_sample;
  const slopes = answer.gradient ? xs.map((_, index) => slope(answer.gradient, index)) : null;
  const words = `${first || "predictions"}[0]${Array.isArray(sample) ? "[0]" : ""}`;
  const fixed = Array.isArray(sample) ? `the others ${simplex ? "share the rest" : "stay as they are"} in ${JSON.stringify(sample)}` : "the others stay as in the example";
  const target = base.targets === undefined ? "" : `, targets ${JSON.stringify(base.targets)}`;
  const axis = { kind: "coordinate", target: 0, low, high, words, request: (/** @type {number} */ x) => request([x]), slope: (/** @type {any} */ gradient) => slope(gradient) };
  return {
    axis,
    curve: { axis: words, x: xs, curves: [{ loss: answer.loss, value: values, slope: slopes }] },
    words: `${entry.name} over ${words}, from ${exact(Number(low.toPrecision(3)))} to ${exact(Number(high.toPrecision(3)))}; ${fixed}${target}.`,
    definition: { vconcat: [panel("loss", words, xs, values, 250, !slopes), ...(slopes ? [panel("slope", words, xs, slopes, 130, true)] : [])], spacing: 10 },
  };
}

/** @param {number} sum @param {number} whole */
const closeTo = (sum, whole) => Math.abs(sum - whole) < 1e-6;

/** @param {string} title @param {string} words @param {number[]} xs @param {(number | null)[]} ys @param {number} height @param {boolean} last */
function panel(title, words, xs, ys, height, last) {
  const values = xs.map((x, index) => ({ x, y: ys[index] })).filter((row) => row.y !== null);
  return {
    width: 560,
    height,
    layer: [
      {
        data: { values },
        mark: { type: "line", clip: true, color: colour("--s1") },
        encoding: {
          x: quantity("x", last ? words : null, { domain: [xs[0], xs.at(-1)], labels: last }),
          y: quantity("y", title, { tickCount: title === "loss" ? 5 : 3, minExtent: 44 }),
        },
      },
    ],
  };
}
