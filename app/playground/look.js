// Look: a loss, its parameters, its curve with a probe on it, others over the same axis, and what is known of it.

import { at, change, inside, nested, onChange, placed, queried } from "./address.js";
import { byId, control, exact, fault, h, math, rested, written } from "./elements.js";
import { colour, draw, fitted, legend, narrow, onLook, plotted, room, theme, VEGA_LITE } from "./figure.js";
import { chooser } from "./chooser.js";
import { along, hasCurve } from "./coordinate.js";
import { fields } from "./parameters.js";
import { constant, json, lane, onReturn, Problem, trying } from "./service.js";
import { takeaway } from "./takeaway.js";

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {import("./address.js").Json} Json */
/** @typedef {import("./figure.js").Spec} Spec */
/** @typedef {import("./coordinate.js").Axis} Axis */

const MOST_OVERLAYS = 3;
const FRAME_MS = 66;
const THUMB = 16;

/** @type {any} the catalogue */
let catalogue;
/** @type {any} the entry of the loss that is shown */
let entry;
/** @type {Record<string, import("./parameters.js").Field>} */
let parameters = {};
/** @type {Axis | null} */
let axis = null;
/** @type {import("./figure.js").View | undefined} */
let view;
let shownName = "";
let sayProbe = "";
const turn = lane();
const probing = lane();

/** Losses that are made of others start from an example. @type {Record<string, Json>} */
const MADE = {
  expression: { name: "expression", value: "where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))", parameters: { d: 1 } },
  asymmetric: { name: "asymmetric", loss: "mean_squared_error", over: 2, under: 1 },
  weighted_sum: { name: "weighted_sum", terms: [{ loss: "mean_squared_error", weight: 0.5 }, { loss: "mean_absolute_error", weight: 0.5 }] },
};

/** @param {string} name @returns {Json} a loss as it is first shown */
const starting = (name) => MADE[name] ?? name;

/** @returns {Fields} the loss that all three panels are about */
export function chosenLoss() {
  const found = nested("loss");
  if (found && typeof found === "object") return { name: "huber", ...found };
  const loss = starting(at("loss") || "huber");
  return typeof loss === "string" ? { name: loss } : /** @type {Fields} */ (loss);
}

/** @param {Json} loss @param {boolean} [push] choose a loss, for all panels */
export function chooseLoss(loss, push = true) {
  change(placed("loss", loss), { push });
}

const overlays = () => at("with").split(",").filter(Boolean);

/** @type {import("./chooser.js").Option[]} */
let recommended = [];

/** @param {import("./chooser.js").Option[]} options losses that suit the data, to choose from before all others */
export function suggest(options) {
  recommended = options;
}

export async function look() {
  catalogue = await constant("v1/losses");
  const options = catalogue.losses.map((/** @type {any} */ loss) => ({
    name: loss.name,
    group: loss.family.replaceAll("_", " "),
    about: loss.summary,
    words: [loss.name, ...loss.aliases, loss.family, loss.summary].join("\n").toLowerCase(),
  }));
  const loss = control("loss");
  chooser(loss, options, { value: () => String(chosenLoss().name), first: () => recommended, take: ({ name, loss }) => chooseLoss(loss ?? starting(name)) });
  const overlay = control("overlay");
  chooser(overlay, options, { value: () => overlays().join(", "), take: ({ name }) => toggle(name) });
  const expression = control("expression");
  expression.addEventListener("input", rested(() => write(expression.value), 300));
  byId("compose").addEventListener("click", () => compose());
  probe();
  takeaway(byId("look-take"), "loss", { request: evaluation, drawing: () => (axis?.kind === "coordinate" ? (view ?? null) : curveAddress()), rows: curveRows, answer: () => curve });
  onChange(() => void show());
  onLook(() => void show());
  onReturn(() => void show());
  await show();
}

/** @param {string} name */
function toggle(name) {
  const others = overlays().filter((other) => other !== name);
  const found = others.length < overlays().length ? others : [...others, name].slice(-MOST_OVERLAYS);
  change({ with: found.join(",") || null }, { push: true });
}

/** The loss and its overlays as one, by equal weights. */
function compose() {
  const parts = [chosenLoss(), ...overlays()];
  const weight = Number((1 / parts.length).toPrecision(3));
  change({ ...placed("loss", { name: "weighted_sum", terms: parts.map((loss) => ({ loss: bare(loss), weight })) }), with: null }, { push: true });
}

/** @param {Json} loss @returns {Json} a loss without parameters is its name */
export const bare = (loss) => (typeof loss === "object" && loss && !Array.isArray(loss) && Object.keys(loss).length === 1 ? loss.name : loss);

/** @param {string} text an expression; its free names become parameters */
function write(text) {
  const current = chosenLoss();
  const typed = text.trim();
  if (!typed) {
    if (current.name === "expression") chooseLoss("huber", false);
    return;
  }
  const had = current.name === "expression" ? /** @type {Fields} */ (current.parameters ?? {}) : {};
  const names = [...new Set(typed.match(/[A-Za-z_]\w*(?!\w*\s*\()/g) ?? [])].filter((name) => !["p", "y", "r", "pi"].includes(name) && !new RegExp(`\\b${name}\\s*\\(`).test(typed));
  const values = Object.fromEntries(names.map((name) => [name, had[name] ?? 1]));
  chooseLoss({ name: "expression", value: typed, ...(names.length ? { parameters: values } : {}) }, false);
}

/** @param {string[]} [others] over it @returns {string} where the curve is, in any of its forms */
function curveAddress(others = overlays()) {
  const { name, ...parameters } = chosenLoss();
  return `v1/losses/${encodeURIComponent(String(name))}/curve?${queried({ ...parameters, ...(others.length ? { against: others.join(",") } : {}), theme: theme() })}`;
}

/** @param {HTMLElement} combobox whether its list is open, as it is while one types */
const isOpen = (combobox) => combobox.getAttribute("aria-expanded") === "true";

/** @type {any} the curve as numbers */
let curve = null;

async function show() {
  const signal = turn();
  const loss = chosenLoss();
  const name = String(loss.name);
  const field = control("loss");
  if (!isOpen(field)) field.value = name;
  const overlay = control("overlay");
  if (!isOpen(overlay)) overlay.value = overlays().join(", ");
  byId("compose").hidden = !overlays().length;
  const expression = control("expression");
  if (document.activeElement !== expression) expression.value = name === "expression" ? String(loss.value ?? "") : "";
  const refused = (/** @type {Problem} */ problem) => complain(problem, name);
  await trying(
    signal,
    async () => {
      byId("curve-plot").setAttribute("aria-busy", "true");
      entry = await constant(`v1/losses/${encodeURIComponent(name)}`);
      if (signal.aborted) return;
      if (shownName !== entry.name + keysOf(loss)) settle(loss);
      for (const [parameter, field] of Object.entries(parameters)) field.show(inside(loss, parameter));
      await (hasCurve(entry) ? drawCurve : drawCoordinate)(loss, signal);
    },
    refused,
  );
  if (!signal.aborted) byId("curve-plot").removeAttribute("aria-busy");
}

/** @param {Fields} loss what its fields are built for: those of an expression follow its names */
const keysOf = (loss) => JSON.stringify(Object.entries(loss).map(([name, value]) => [name, typeof value === "object" ? structure(value) : 0]));

/** @param {Json} value @returns {Json} without its numbers */
function structure(value) {
  if (Array.isArray(value)) return value.map(structure);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, structure(item)]));
  return typeof value === "string" ? value : 0;
}

/** Fields and facts of a loss that has not been shown. @param {Fields} loss */
function settle(loss) {
  shownName = entry.name + keysOf(loss);
  const schemas = { ...entry.parameters };
  if (entry.name === "expression") {
    delete schemas.value;
    delete schemas.parameters;
    for (const name of Object.keys(/** @type {Fields} */ (loss.parameters ?? {}))) schemas[`parameters.${name}`] = { type: "number", default: 1, description: "A number of the expression." };
  }
  if (entry.name === "weighted_sum" && Array.isArray(loss.terms)) {
    delete schemas.terms;
    loss.terms.forEach((term, index) => {
      const of = /** @type {any} */ (term).loss;
      schemas[`terms.${index}.weight`] = { type: "number", default: 1, minimum: 0, maximum: 5, description: `What ${of?.name ?? of} counts.` };
    });
  }
  const labels = Object.fromEntries(Object.keys(schemas).map((path) => [path, path.startsWith("parameters.") ? path.slice(11) : path]));
  parameters = fields(schemas, { id: "parameter", sliders: true, labels, change: (path, value) => change({ ...placed("loss", chosenLoss()), ...placed(`loss.${path}`, value) }, { source: "parameters" }) });
  byId("parameters").replaceChildren(...(Object.keys(parameters).length ? [h("legend", {}, "Parameters")] : []), ...Object.values(parameters).map((made) => made.element));
  tell();
}

/** @param {Fields} loss @param {AbortSignal} signal @param {string[]} [others] over it */
async function drawCurve(loss, signal, others) {
  const host = byId("curve-plot");
  const address = curveAddress(others);
  let definition, numbers;
  try {
    [definition, numbers] = await Promise.all([json(address, { accept: VEGA_LITE, signal }), json(address.replace(/&?theme=\w+/, ""), { signal })]);
  } catch (error) {
    const against = error instanceof Problem && error.of(/^\/against/);
    if (!against) throw error;
    await drawCurve(loss, signal, []);
    return fault("overlay", against);
  }
  if (signal.aborted) return;
  unfault();
  curve = numbers;
  axis = { kind: numbers.axis, target: numbers.target, low: numbers.x[0], high: numbers.x.at(-1), request: (x) => ({ loss, predictions: [x], targets: [numbers.target] }), slope: (gradient) => gradient[0], words: "prediction" };
  const names = numbers.curves.map((/** @type {any} */ found, /** @type {number} */ index) => (index ? found.loss.name : entry.name));
  byId("curve").setAttribute("aria-label", `Loss and slope: ${names.join(", ")}`);
  captionCurve(definition.description);
  legend(byId("curve-legend"), names);
  await place(host, definition);
}

/** @param {Fields} loss @param {AbortSignal} signal */
async function drawCoordinate(loss, signal) {
  const found = await along(entry, loss, signal);
  if (signal.aborted) return;
  unfault();
  if (overlays().length) fault("overlay", `${entry.name} has several numbers per sample: others are not drawn over it`);
  curve = found.curve;
  axis = found.axis;
  byId("curve").setAttribute("aria-label", `Loss and slope: ${entry.name}`);
  captionCurve(found.words, true);
  legend(byId("curve-legend"), [entry.name]);
  await place(byId("curve-plot"), found.definition);
}

/** @param {string} words @param {boolean} [seen] */
function captionCurve(words, seen = false) {
  const caption = byId("curve-caption");
  caption.hidden = false;
  caption.className = seen ? "" : "unseen";
  caption.textContent = words;
}

/** @param {HTMLElement} host @param {Spec} definition */
async function place(host, definition) {
  const up = narrow(host) ? 0.72 : 0.84;
  const spec = probed(fitted(definition, room(host), up));
  view = (await draw(host, spec)) ?? view;
  align();
  await measure();
}

/** With a rule, a tangent and points that follow the probe. @param {Spec} spec */
function probed(spec) {
  const ink = getComputedStyle(document.body).color;
  const vconcat = spec.vconcat.map((/** @type {Spec} */ panel) => {
    const line = panel.layer.find((/** @type {Spec} */ part) => part.encoding?.y?.title && part.encoding?.x?.field);
    if (!line) return panel;
    const { x, y } = line.encoding;
    const field = { loss: "loss", slope: "slope", curvature: "curvature" }[/** @type {string} */ (y.title)] ?? "loss";
    const data = { name: "probe" };
    const layers = [
      { data, mark: { type: "rule", strokeDash: [2, 3], strokeWidth: 1, color: ink, clip: true }, encoding: { x: { ...x, field: "x" }, y: { value: 0 }, y2: { value: panel.height } } },
      ...(field === "loss" && entry.differentiable ? [{ data, mark: { type: "rule", strokeWidth: 1.25, color: ink, clip: true }, encoding: { x: { ...x, field: "x0" }, x2: { field: "x1" }, y: { ...y, field: "y0" }, y2: { field: "y1" } } }] : []),
      ...(field === "curvature" ? [] : [{ data, mark: { type: "point", filled: true, size: 70, opacity: 1, clip: true, color: colour("--s1"), stroke: ink }, encoding: { x: { ...x, field: "x" }, y: { ...y, field } } }]),
    ];
    return { ...panel, layer: [...panel.layer, ...layers] };
  });
  return { ...spec, vconcat, datasets: { probe: [{ x: position(), loss: 0, slope: 0, x0: 0, x1: 0, y0: 0, y1: 0 }] } };
}

// --- the probe

/** @returns {number} where the probe is */
function position() {
  const text = at("at");
  if (text && Number.isFinite(Number(text))) return Number(text);
  if (!axis) return 1;
  return axis.low < 1 && axis.high > 1 && axis.kind !== "probability" ? 1 : Number(((axis.low + axis.high) / 2).toPrecision(3));
}

/** The slider exactly under the axis. */
function align() {
  const host = byId("curve-plot");
  const slider = control("prediction");
  const box = plotted(host);
  if (!box || !axis) return;
  const place = /** @type {HTMLElement} */ (slider.parentElement);
  place.hidden = false;
  const outer = place.getBoundingClientRect();
  slider.style.width = `${box.width + THUMB}px`;
  slider.style.marginLeft = `${box.left - outer.left - THUMB / 2}px`;
  const words = /** @type {HTMLElement} */ (byId("prediction-words").parentElement);
  words.style.marginLeft = `${box.left - outer.left}px`;
  slider.min = String(axis.low);
  slider.max = String(axis.high);
  slider.value = String(position());
}

function probe() {
  const slider = control("prediction");
  const set = (/** @type {number} */ x) => {
    if (!axis) return;
    const digits = Math.max(0, 2 - Math.floor(Math.log10((axis.high - axis.low) / 10)));
    const next = Number(Math.min(Math.max(x, axis.low), axis.high).toFixed(Math.min(digits, 12)));
    slider.value = String(next);
    change({ at: String(next) }, { source: "probe" });
  };
  slider.addEventListener("input", () => set(Number(slider.value)));
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (!axis) return;
    const step = { ArrowRight: 0.02, ArrowUp: 0.02, ArrowLeft: -0.02, ArrowDown: -0.02, PageUp: 0.1, PageDown: -0.1 }[event.key];
    const end = { Home: axis.low, End: axis.high }[event.key];
    if ((step === undefined && end === undefined) || (event.target === byId("curve") && /Up|Down/.test(event.key))) return;
    event.preventDefault();
    set(end ?? position() + /** @type {number} */ (step) * (axis.high - axis.low));
    if (event.target !== slider) sayProbe = "wanted";
  };
  slider.addEventListener("keydown", keys);
  byId("curve").addEventListener("keydown", keys);
  const host = byId("curve-plot");
  const follow = (/** @type {PointerEvent} */ event) => {
    const box = plotted(host);
    if (box && axis) set(axis.low + ((event.clientX - box.left) / box.width) * (axis.high - axis.low));
  };
  host.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    host.setPointerCapture(event.pointerId);
    follow(event);
    host.addEventListener("pointermove", follow);
  });
  for (const name of ["pointerup", "pointercancel"]) host.addEventListener(name, () => host.removeEventListener("pointermove", follow));
}

let measured = 0;
let again = 0;

/** Loss and slope at the probe, from the service, at most so many times a second. */
async function measure() {
  clearTimeout(again);
  const wait = measured + FRAME_MS - performance.now();
  if (wait > 0) return void (again = window.setTimeout(measure, wait));
  measured = performance.now();
  if (!axis) return;
  const signal = probing();
  const [here, x] = [axis, position()];
  await trying(
    signal,
    async () => {
      const wanted = here.request(x);
      const answer = await json("v1/evaluate", { body: { ...wanted, outputs: entry.differentiable ? ["per_sample", "gradient"] : ["per_sample"] }, signal });
      const loss = answer.per_sample[0];
      const slope = answer.gradient === undefined ? null : here.slope(answer.gradient);
      follow(here, x, loss, slope);
    },
    (problem) => speak(here, `${here.words} ${exact(x)}: ${problem.message}`),
  );
}

/** @param {Axis} here @param {number} x @param {number | null} loss @param {number | null} slope */
function follow(here, x, loss, slope) {
  const parts = [`${here.words} ${exact(x)}`, `loss ${written(loss)}`, slope === null ? "no slope" : `slope ${written(slope)}`];
  speak(here, parts.join(", "));
  const reach = (here.high - here.low) / 6;
  const row = loss === null ? [] : [{ x, loss, ...(slope === null ? {} : { slope, x0: x - reach, x1: x + reach, y0: loss - slope * reach, y1: loss + slope * reach }) }];
  view?.data("probe", row);
  void view?.runAsync();
}

/** @param {Axis} here @param {string} words */
function speak(here, words) {
  byId("prediction-words").textContent = words.replace(new RegExp(`^${here.words.replace(/[[\]]/g, "\\$&")} `), here.words === "prediction" ? "" : `${here.words} = `);
  byId("prediction").setAttribute("aria-valuetext", words);
  if (sayProbe) byId("said").textContent = words;
  sayProbe = "";
}

onChange((source) => {
  if (source !== "probe") return;
  align();
  void measure();
});

// --- what is wrong

function unfault() {
  for (const id of ["loss", "overlay", "expression"]) fault(id, "");
  for (const path of Object.keys(parameters)) fault(`parameter-${path}`, "");
}

/** @param {Problem} problem @param {string} name */
function complain(problem, name) {
  unfault();
  const place = problem.status && Object.keys(parameters).find((path) => problem.of(new RegExp(`^(/loss)?/${path.replaceAll(".", "/")}(/|$)`)) || problem.of(new RegExp(`^/${path.split(".").at(-1)}$`)));
  if (place) fault(`parameter-${place}`, problem.message);
  else if (problem.status) fault(name === "expression" ? "expression" : "loss", problem.message);
  curve = null;
  axis = null;
  byId("prediction-words").textContent = "";
  /** @type {HTMLElement} */ (byId("prediction").parentElement).hidden = true;
  byId("curve-plot").replaceChildren(h("p", { class: "quiet" }, place || name === "expression" ? "No curve: see what is said beside the field." : problem.message));
  byId("curve-legend").replaceChildren();
}

// --- facts

function tell() {
  const known = entry;
  const properties = [...known.properties.map((/** @type {string} */ property) => property.replaceAll("_", " ")), ...(known.trainable ? [] : ["not for training"])];
  const link = (/** @type {string} */ name) => h("button", { type: "button", class: "link", onclick: () => chooseLoss(starting(name)) }, name);
  const calls = known.equals.filter((/** @type {any} */ call, /** @type {number} */ index, /** @type {any[]} */ all) => all.findIndex((other) => other.library === call.library) === index);
  const words = (/** @type {string} */ heading, /** @type {string} */ text) => h("div", {}, h("h3", {}, heading), h("p", {}, text.charAt(0).toUpperCase() + text.slice(1)));
  byId("facts").replaceChildren(
    ...[
      h("h3", { class: "name" }, ...known.name.split(/(?<=_)/).flatMap((/** @type {string} */ part) => [part, h("wbr")])),
      h("p", {}, known.summary),
      ...formula("Formula", known.formula_mathml),
      ...formula("Its slope", known.gradient_mathml),
      known.symbols.length > 0 && h("dl", {}, ...known.symbols.flatMap((/** @type {any} */ symbol) => [h("dt", {}, symbol.symbol), h("dd", {}, symbol.meaning)])),
      h("div", {}, h("h3", {}, "Properties"), h("p", {}, properties.join(", "))),
      h("p", { class: "quiet" }, known.reference_url ? h("a", { href: known.reference_url, rel: "noreferrer" }, known.reference) : known.reference),
    ].filter((part) => part instanceof Node),
  );
  byId("more").replaceChildren(
    ...[
      h("div", { class: "sides" }, words("Use when", known.use_when), words("Avoid when", known.avoid_when)),
      calls.length > 0 && h("div", {}, h("h3", {}, "The same elsewhere"), h("ul", { class: "calls" }, ...calls.map((/** @type {any} */ call) => h("li", {}, h("code", {}, call.call), call.caveat && h("span", { class: "hint" }, ` ${call.caveat}`))))),
      known.see_also.length > 0 && h("p", { class: "quiet" }, "See also ", ...known.see_also.slice(0, 5).map(link)),
    ].filter((part) => part instanceof Node),
  );
}

/** @param {string} heading @param {string | null} mathml @returns {Node[]} */
function formula(heading, mathml) {
  if (!mathml) return [];
  return [h("div", {}, h("h3", {}, heading), h("div", { class: "formula", tabindex: 0, role: "group", "aria-label": heading }, math(mathml)))];
}

// --- to take away

/** The probe as an evaluation. */
function evaluation() {
  return { path: "v1/evaluate", body: axis ? axis.request(position()) : { loss: chosenLoss(), predictions: [position()], targets: [0] }, number: "value" };
}

/** @returns {(string | number | null)[][]} the curve as a table */
function curveRows() {
  const curves = curve?.curves ?? [];
  const head = ["x", ...curves.flatMap((/** @type {any} */ found) => [`${found.loss.name}`, `${found.loss.name} slope`])];
  return [head, ...(curve?.x ?? []).map((/** @type {number} */ x, /** @type {number} */ index) => [x, ...curves.flatMap((/** @type {any} */ found) => [found.value[index], found.slope?.[index] ?? null])])];
}
