// What a model has learned, beside the rows it learned from: a line, or a plane with its classes; and rows as a small picture.

import { s, written } from "./elements.js";
import { colour, draw, quantity } from "./figure.js";

/** @typedef {{features: string[], classes: string[] | null, inputs: number[][], targets: any[]}} Rows */
/** @typedef {import("./run.js").Surface} Surface */
/** @typedef {import("./figure.js").Spec} Spec */

const MOST_POINTS = 400;
const MOST_DOTS = 120;
const [WIDE, HIGH] = [100, 44];

/** Classes have the colours that lines of a run do not. @param {number} index */
const classToken = (index) => ["--s4", "--s3", "--s1", "--s2"][index % 4];
/** @param {number} index */
const classColour = (index) => colour(classToken(index));
/** Behind points: a colour mixed with the ground. @param {string} token */
function soft(token) {
  const parts = (/** @type {string} */ text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const ground = parts(colour("--panel"));
  return `rgb(${parts(token).map((part, index) => Math.round(0.5 * part + 0.5 * ground[index])).join(",")})`;
}

/** @param {any} value @returns {any} of a row the first */
const first = (value) => (Array.isArray(value) ? value[0] : value);

const SHAPES = ["circle", "triangle-up", "square", "diamond"];

/** @param {Rows} rows @returns {{x: number, y: number, c: number}[]} places with class or target */
function points(rows) {
  const every = Math.ceil(rows.inputs.length / MOST_POINTS);
  const flat = rows.inputs[0]?.length === 1 || (!rows.classes && rows.inputs[0]?.length !== 2);
  const found = rows.inputs.map((row, index) => {
    const target = first(rows.targets[index]);
    return { x: row[0], y: flat ? target : row[1] ?? target, c: Number(target) };
  });
  return found.filter((_, index) => index % every === 0);
}

/** @param {Rows} rows @returns {Element} a small picture, for the eye alone: pixels as they are, of many columns those that go most with the targets */
export function thumbnail(rows) {
  return s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" }, ...(rows.features[0] === "pixel_0_0" ? pixels(rows) : dots(rows)));
}

/** @param {Rows} rows @returns {Element[]} the first three, of eight pixels by eight */
const pixels = ({ inputs }) => [0, 1, 2].flatMap((row) => inputs[row].map((ink, index) => s("rect", { x: 6 + 32 * row + 3 * (index % 8), y: 10 + 3 * Math.floor(index / 8), width: 3, height: 3, "fill-opacity": ink / 16 })));

/** @param {Rows} rows @returns {Element[]} those of each class */
function dots({ inputs, targets, classes }) {
  const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const standard = (/** @type {number[]} */ values) => {
    const middle = mean(values);
    const size = Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) || 1;
    return values.map((value) => (value - middle) / size);
  };
  const aims = targets.map((target) => Number(first(target)));
  const aimed = standard(aims);
  const columns = inputs[0].map((_, column) => standard(inputs.map((row) => row[column])));
  const pull = (/** @type {number[]} */ column) => Math.abs(mean(column.map((value, row) => value * aimed[row])));
  if (columns.length > 2) columns.sort((a, b) => pull(b) - pull(a));
  const placed = (/** @type {number[]} */ values, /** @type {number} */ across) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return values.map((value) => (((value - low) / (high - low || 1)) * (across - 8) + 4).toFixed(1));
  };
  const xs = placed(columns[0], WIDE);
  const ys = placed(((classes && columns[1]) || aimed).map((value) => -value), HIGH);
  const every = Math.ceil(xs.length / MOST_DOTS);
  return (classes ?? [""]).map((_, c) => {
    const mark = s("path", { d: xs.map((x, row) => (row % every || (classes && aims[row] !== c) ? "" : `M${x} ${ys[row]}h0`)).join("") });
    mark.style.stroke = `var(${classes ? classToken(c) : "--control"})`;
    return mark;
  });
}

/** @param {any} said of one place @param {string} encoding @returns {number} of many classes the likeliest, of two how sure of the second, 0 to 1 */
function classOf(said, encoding) {
  if (Array.isArray(said) && said.length > 1) return said.indexOf(Math.max(...said));
  const value = Number(first(said));
  if (encoding === "probability") return value;
  if (encoding === "logit") return 1 / (1 + Math.exp(-value));
  return encoding === "real" ? Math.min(Math.max(value, 0), 1) : 1 / (1 + Math.exp(-2 * value));
}

/** @param {Surface} surface @param {Rows} rows @param {string} encoding @returns {Spec[]} the surface as rows of data */
function placesOf(surface, rows, encoding) {
  const [x, y] = surface.axes;
  if (!y) return x.map((place, index) => ({ x: place, y: Number(surface.predictions[index]) }));
  const half = [(x[1] - x[0]) * 0.53, (y[1] - y[0]) * 0.53]; // a little over the next, or the ground shines through between
  return y.flatMap((up, row) =>
    x.map((across, column) => {
      const said = surface.predictions[row][column];
      const c = rows.classes ? classOf(said, encoding) : Number(said);
      return { x: across - half[0], X: across + half[0], y: up - half[1], Y: up + half[1], c };
    }),
  );
}

/**
 * Draw rows and what is predicted around them; told is a function that shows another surface.
 * @param {HTMLElement} host @param {Rows} rows @param {Surface | null} surface @param {string} encoding of the predictions
 * @returns {Promise<(surface: Surface) => void>}
 */
export async function drawFit(host, rows, surface, encoding) {
  const places = points(rows);
  const wide = rows.inputs[0].length === 2;
  const k = rows.classes?.length ?? 0;
  const each = [...Array(k).keys()];
  const [width, height] = [Math.max(140, host.clientWidth - 70), 280];
  const targets = places.map((place) => place.c);
  const shades = k > 2 ? { domain: each, range: each.map((index) => soft(classColour(index))) } : k ? { domain: [0, 0.5, 1], range: [soft(classColour(0)), colour("--panel"), soft(classColour(1))], clamp: true, interpolate: "rgb" } : { domain: [Math.min(...targets), Math.max(...targets)], range: [colour("--accent-soft"), colour("--s1")], clamp: true };
  const values = surface ? placesOf(surface, rows, encoding) : [{ x: places[0].x, X: places[0].x, y: places[0].y, Y: places[0].y, c: 0.5 }];
  const x = quantity("x", rows.features[0] ?? "input", { grid: !wide, ...(wide && surface ? { domain: [surface.axes[0][0], surface.axes[0].at(-1)] } : {}) });
  const y = quantity("y", wide ? rows.features[1] : "target", { grid: !wide, ...(wide && surface ? { domain: [surface.axes[1][0], surface.axes[1].at(-1)] } : {}) });
  const shape = { field: "c", type: "nominal", legend: null, scale: { domain: each, range: each.map((index) => SHAPES[index % 4]) } };
  const kind = k > 2 ? "nominal" : "quantitative";
  const tiles = { data: { name: "surface" }, mark: { type: "rect", clip: true, strokeWidth: 0 }, encoding: { x, x2: { field: "X" }, y, y2: { field: "Y" }, color: { field: "c", type: kind, legend: null, scale: shades } } };
  const line = { data: { name: "surface" }, mark: { type: "line", color: colour("--s1"), clip: true }, encoding: { x, y } };
  const dots = {
    data: { values: places },
    mark: { type: "point", filled: k > 0, size: k ? 34 : 28, opacity: 1, strokeWidth: k ? 0.6 : 1.2, stroke: k ? colour("--panel") : colour("--control"), clip: true },
    encoding: { x, y, ...(k ? { shape, fill: { field: "c", type: "nominal", legend: null, scale: { domain: each, range: each.map(classColour) } } } : wide ? { fill: { field: "c", type: "quantitative", legend: null, scale: shades } } : {}) },
  };
  const view = await draw(host, { width, height, layer: wide ? [tiles, dots] : [dots, line], datasets: { surface: values } });
  return (next) => {
    view?.data("surface", placesOf(next, rows, encoding));
    void view?.runAsync();
  };
}

/**
 * Of more columns than can be drawn: what is predicted beside what is true, or how often a class is taken for another.
 * @param {HTMLElement} host @param {Rows} rows @param {any} answer of the run @returns {Promise<string>} what is seen, in words
 */
export async function drawAgreement(host, rows, answer) {
  const [said] = answer.predictions;
  const classes = rows.classes && (rows.classes.length === 2 || (Array.isArray(said) && said.length > 1)) ? rows.classes : null;
  const encoding = answer.data.predictions_encoding;
  const pairs = (answer.rows.validation ?? answer.rows.training).map((/** @type {number} */ row, /** @type {number} */ index) => ({ x: first(rows.targets[row]), y: classes ? Math.round(classOf(answer.predictions[index], encoding)) : first(answer.predictions[index]) }));
  const size = Math.min(280, Math.max(140, host.clientWidth - 70));
  if (!classes) {
    const ends = [Math.min(...pairs.map((/** @type {any} */ pair) => pair.x)), Math.max(...pairs.map((/** @type {any} */ pair) => pair.x))].map((end) => ({ x: end, y: end }));
    const encodings = { x: quantity("x", "target"), y: quantity("y", "prediction") };
    await draw(host, { width: size, height: size, layer: [{ data: { values: pairs }, mark: { type: "point", size: 28, opacity: 1, strokeWidth: 1.2, stroke: colour("--control"), clip: true }, encoding: encodings }, { data: { values: ends }, mark: { type: "line", color: colour("--s1"), strokeWidth: 1.25 }, encoding: encodings }] });
    return `${pairs.length} rows of ${rows.inputs[0].length} columns: what is predicted over what is true; on the line both are the same`;
  }
  const cells = classes.flatMap((y, row) => classes.map((x, column) => ({ x, y, n: pairs.filter((/** @type {any} */ pair) => pair.x === column && pair.y === row).length })));
  const most = Math.max(...cells.map((cell) => cell.n));
  const place = (/** @type {string} */ field, /** @type {string} */ title) => ({ field, title, type: "nominal", sort: null, axis: { grid: false, labelAngle: 0 } });
  const at = { x: place("x", "true"), y: place("y", "predicted") };
  await draw(host, { width: size, height: size, data: { values: cells }, layer: [{ mark: "rect", encoding: { ...at, color: { field: "n", type: "quantitative", legend: null, scale: { range: [colour("--accent-soft"), colour("--s1")] } } } }, { mark: "text", encoding: { ...at, text: { field: "n" }, color: { condition: { test: `datum.n > ${0.5 * most}`, value: colour("--on-accent") }, value: colour("--ink") } } }] });
  const right = pairs.filter((/** @type {any} */ pair) => pair.x === pair.y).length;
  return `${pairs.length} rows of ${rows.inputs[0].length} columns, ${right} of them taken for what they are`;
}

/** @param {Surface | null} surface @param {Rows} rows @returns {string[]} the points of the line, or else the rows */
export function fitPoints(surface, { features, classes, inputs, targets }) {
  if (surface?.axes.length === 1) return surface.axes[0].map((x, index) => `${features[0]} ${written(x, 3)}: ${written(Number(surface.predictions[index]), 4)}`);
  return inputs.map((row, index) => `${features.slice(0, 2).map((name, column) => `${name} ${written(row[column], 3)}`).join(", ")}: ${classes?.[targets[index]] ?? written(targets[index], 4)}`);
}

/** @param {Surface | null} surface @param {Rows} rows @returns {string} what is seen, in words */
export function fitInWords(surface, rows) {
  const n = rows.inputs.length;
  if (!surface) return `${n} rows`;
  if (surface.axes.length === 1) {
    const [first, last] = [Number(surface.predictions[0]), Number(surface.predictions.at(-1))];
    return `${n} rows and the model’s line: ${written(first, 4)} at ${written(surface.axes[0][0], 3)}, ${written(last, 4)} at ${written(surface.axes[0].at(-1), 3)}`;
  }
  return `${n} rows, and what the model says around them${rows.classes ? `: ${rows.classes.join(", ")}` : ""}`;
}
