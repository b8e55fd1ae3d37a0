// Train: what a model makes of the loss, epoch by epoch; runs over each other; what went wrong, and what to try.

import { at, change, inside, nested, onChange, placed, queried, valueOf } from "./address.js";
import { byId, control, fault, h, labelled, say, written } from "./elements.js";
import { captioned, colour, draw, framed, onLook, quantity, room, swatch, walked } from "./figure.js";
import { drawAgreement, drawFit, fitInWords, fitPoints, thumbnail } from "./fit.js";
import { bare, chooseLoss, chosenLoss } from "./look.js";
import { fields } from "./parameters.js";
import { PRESETS } from "./presets.js";
import { newRun, play, played, smoothed } from "./run.js";
import { constant, lane, onReturn, Problem, trying } from "./service.js";
import { takeaway } from "./takeaway.js";

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {import("./address.js").Json} Json */
/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./fit.js").Rows} Rows */
/** @typedef {import("./parameters.js").Field} Field */

const MOST_RUNS = 4;
const REST_MS = 500;
const FEW = 120;
const FIRST = ["n_samples", "noise", "hidden"];
const KINDS = /** @type {const} */ ({ data: "datasets", model: "models", optimizer: "optimizers", schedule: "schedules" });
const ADVICE = /^(?:[a-z ]+: )?((?:epochs|batch_size|class_weight|shuffle|(?:optimizer|model|loss|regularization|early_stopping|standardize|gradient_clipping|schedule|validation)(?:\.[a-z_0-9]+)*)) (\[[^\]]*\]|-?[\d.]+(?:e[+-]?\d+)?|[a-z_]+)(?: with ([a-z_.]+) (\[[^\]]*\]|\S+))?(?: instead of .*)?$/;

/** @type {Record<string, string>} by the path in a request, the panel's own fields */
const PLACES = { "optimizer.learning_rate": "train-rate", "model.learning_rate": "train-rate", epochs: "train-epochs", seed: "train-seed", "validation.fraction": "train-held", data: "train-data", model: "train-model", optimizer: "train-optimizer", schedule: "train-schedule" };

/** @type {Record<keyof typeof KINDS, any[]>} */
let known;
/** @type {Run[]} the newest first */
let runs = [];
/** @type {ReturnType<typeof play> | null} */
let player = null;
/** @type {Rows | null} */
let rows = null;
/** @type {Record<string, Field>} by the path within train */
let shown = {};
let built = "";
let rowsOf = "";
const turn = lane();
/** @type {import("./figure.js").View | undefined} */
let curveView;
/** @type {((surface: import("./run.js").Surface) => void) | null} */
let showFit = null;
let drawn = "";

export async function train() {
  const [datasets, models, optimizers, schedules] = await Promise.all(Object.values(KINDS).map((kind) => constant(`v1/${kind}`)));
  known = { data: datasets.datasets, model: models.models, optimizer: optimizers.optimizers, schedule: schedules.schedules };
  byId("presets").replaceChildren(...Object.entries(PRESETS).map(([name, preset]) => h("button", { type: "button", class: "pill", "data-preset": name, "aria-pressed": "false", onclick: () => choose(name) }, preset.title)));
  build();
  takeaway(byId("train-take"), "run", { request: () => ({ path: "v1/train", body: request(), number: "final.training_loss" }), drawing: () => ({ path: "v1/train", body: request() }), rows: historyRows, answer: () => runs[0]?.answer ?? null });
  onChange((source) => source === "probe" || source === "data" || void refresh());
  onLook(() => void redraw());
  onReturn(() => void refresh());
  addEventListener("pagehide", () => player?.stop());
  void redraw();
  await refresh();
  onSight("loss-curve", () => setTimeout(() => runs.length || begin(), REST_MS)); // unless a preset is what brought the reader here
  onSight("thumbs", illustrate);
}

// --- what is asked for

/** @returns {Fields} what the address says of the run */
function asked() {
  const found = nested("train");
  return found && typeof found === "object" && !Array.isArray(found) ? found : {};
}

/** @param {Json | undefined} thing @param {string} usual @returns {Fields} as an object with its name */
const named = (thing, usual) => (typeof thing === "string" ? { name: thing } : thing && typeof thing === "object" && !Array.isArray(thing) ? { ...("name" in thing || "inputs" in thing ? {} : { name: usual }), ...thing } : { name: usual });

/** @returns {Fields} the dataset: the one chosen, or one that suits the loss */
function dataset() {
  const given = asked().data;
  const family = lossFamily;
  const usual = { binary: "moons", multiclass: "blobs" }[family] ?? "regression";
  const found = named(given, usual);
  if ("inputs" in found) {
    const inputs = /** @type {any[]} */ (found.inputs).map((row) => (Array.isArray(row) ? row : [row]));
    return { inputs, targets: found.targets };
  }
  if (given === undefined && found.name === "regression") return { ...found, n_samples: 200, n_features: 1, n_informative: 1, noise: 15 };
  return found;
}

let lossFamily = "robust";
/** @type {string[]} the loss, and why nothing can be trained on it; empty where it can */
let untrainable = [];

/** @returns {Fields} the body for POST /v1/train */
function request() {
  const given = asked();
  const data = dataset();
  const { data: _data, model, optimizer, schedule, metrics, ...more } = given;
  /** @type {Fields} */
  const body = { data, model: named(model, "mlp"), loss: bare(chosenLoss()), optimizer: { ...(optimizer ? {} : { learning_rate: 0.01 }), ...named(optimizer, "adam") }, ...more };
  if (schedule) body.schedule = named(schedule, "constant");
  for (const name of useless(body)) delete body[name];
  const task = known.data.find((entry) => entry.name === data.name)?.traits.task;
  const scores = metrics ?? (task === "regression" ? ["r2"] : task ? ["accuracy"] : []);
  body.metrics = Array.isArray(scores) ? scores : String(scores).split(",").filter(Boolean);
  body.outputs = ["surface", "predictions", "rows"];
  return body;
}

/** @param {Fields} fields @param {Fields | undefined} loss @param {string | null} preset fill the panel */
function fill(fields, loss, preset) {
  change({ ...placed("train", fields), ...(loss ? placed("loss", loss) : {}), with: null, preset }, { push: true, source: "fill" });
}

/** @param {string} kind @param {Json | undefined} name @returns {any} what the catalogue has of a name or an alias */
const entryOf = (kind, name) => known[/** @type {keyof typeof KINDS} */ (kind)].find((found) => [found.name, ...found.aliases].includes(name));

/** @param {Fields} body @returns {"optimizer" | "model"} which of them has the learning rate, where there is one */
const moverOf = (body) => ((entryOf("model", /** @type {Fields} */ (body.model).name)?.traits.optimized ?? true) ? "optimizer" : "model");

/** @param {Fields} body @returns {string[]} the fields that its model and its optimizer have no use for, by the catalogue */
function useless(body) {
  const kind = moverOf(body);
  const mover = entryOf(kind, /** @type {Fields} */ (body[kind]).name);
  const steps = kind === "optimizer" && !mover?.traits.full_batch;
  return [...(kind === "model" ? ["optimizer", "regularization"] : []), ...(steps ? [] : ["batch_size", "gradient_clipping"]), ...(mover && !mover.parameters.learning_rate ? ["schedule"] : [])];
}

/** @param {string} name of a preset */
function choose(name) {
  const preset = PRESETS[name];
  reset();
  fill(preset.train, preset.loss, name);
  begin();
}

// --- the panel

function build() {
  const choice = (/** @type {string} */ label, /** @type {keyof typeof KINDS} */ kind) => {
    const id = `train-${kind}`;
    const box = h("select", { id, "aria-describedby": `${id}-fault` }, kind === "schedule" && h("option", { value: "" }, "none"), ...known[kind].map((entry) => h("option", { title: entry.summary }, entry.name)));
    box.addEventListener("change", () => pick(kind, box.value || undefined));
    return labelled(label, box);
  };
  const number = (/** @type {string} */ label, /** @type {string} */ id, /** @type {Record<string, unknown>} */ more, /** @type {(text: string) => void} */ told) => {
    const input = h("input", { id, type: "number", min: 0, "aria-describedby": `${id}-fault`, ...more });
    input.addEventListener("input", () => told(input.value));
    return labelled(label, input);
  };
  const at = (/** @type {string} */ path) => (/** @type {string} */ text) => change({ [`train.${path}`]: text || null }, { source: "field" });
  const rate = (/** @type {string} */ text) => set(moverOf(request()), "learning_rate", text === "" ? undefined : Number(text));
  const controls = h(
    "div",
    { class: "controls" },
    h("div", { class: "pair" }, choice("Dataset", "data"), choice("Model", "model")),
    h("fieldset", { class: "thumbs", id: "thumbs" }, h("legend", { class: "unseen" }, "Datasets"), ...known.data.map(({ name, summary }) => h("label", { title: summary }, h("input", { type: "radio", class: "unseen", name: "thumb", value: name, onchange: () => pick("data", name) }), h("span", { id: `thumb-${name}` }), name))),
    h("div", { class: "pair", id: "train-first" }),
    h("div", { class: "pair" }, choice("Optimizer", "optimizer"), choice("Schedule", "schedule")),
    h("div", { class: "pair" }, number("Learning rate", "train-rate", { step: "any" }, rate), number("Epochs", "train-epochs", { min: 1 }, at("epochs")), number("Seed", "train-seed", {}, at("seed")), number("Held out", "train-held", { max: 1, step: "any" }, at("validation.fraction"))),
    h("details", { id: "train-details" }, h("summary", {}, "More"), h("div", { class: "fields", id: "train-more" })),
  );
  const button = (/** @type {string} */ id, /** @type {string} */ text, /** @type {() => void} */ click, /** @type {Record<string, unknown>} */ more = {}) => h("button", { type: "button", id, onclick: click, ...more }, text);
  const log = h("input", { type: "checkbox", id: "log" });
  log.addEventListener("change", () => void redraw());
  const smoothing = h("input", { type: "range", id: "smoothing", min: 0, max: 0.95, step: 0.05, value: 0 });
  smoothing.addEventListener("input", () => void redraw());
  const quantityBox = h("select", { id: "quantity" });
  quantityBox.addEventListener("change", () => void redraw());
  const stage = h(
    "div",
    { class: "stage" },
    h(
      "div",
      { class: "transport" },
      button("run", "Run", begin, { class: "primary" }),
      button("pause", "Pause", pause),
      button("step", "Step", step),
      button("stop", "Stop", () => player?.stop()),
      button("reset", "Reset", reset),
      h("span", { class: "epoch", role: "status", "aria-label": "Epoch", "aria-live": "off", id: "epoch" }, "No run yet"),
    ),
    h("p", { class: "fault", id: "train-fault", role: "alert" }),
    h("div", { class: "words", role: "status", "aria-label": "Diagnosis", id: "diagnosis" }),
    h("ul", { class: "advice row", id: "advice" }),
    h(
      "div",
      { class: "charts" },
      h(
        "div",
        { class: "stage" },
        framed("loss-curve", "Training and validation loss"),
        h("div", { class: "transport" }, h("label", { for: "quantity" }, "Shows"), h("div", {}, quantityBox), h("label", { class: "check" }, log, "Log scale"), h("div", { class: "slide smooth" }, h("label", { for: "smoothing" }, "Smoothing"), smoothing)),
        h("div", { class: "runs", role: "group", "aria-label": "Runs", id: "runs" }),
      ),
      framed("fit", "Fit"),
    ),
  );
  byId("train-panel").replaceChildren(controls, stage);
  walked(byId("loss-curve"), () => (runs[0] ? runs[0].history.slice(0, runs[0].shown).map((epoch) => `Epoch ${epoch.epoch}: ${losses(epoch)}`) : []));
  walked(byId("fit"), () => (rows ? fitPoints(surfaceOf(runs[0]), rows) : []));
  buttons();
}

/** @param {string} kind @param {string | undefined} name */
function pick(kind, name) {
  change({ ...placed(`train.${kind}`, name), preset: null }, { push: true });
}

/** The pictures of all datasets, one after the other; one that does not come leaves its name. */
async function illustrate() {
  for (const { name, parameters } of known.data) {
    const place = byId(`thumb-${name}`);
    if (place.firstChild) continue; // the chosen one has its own
    const found = await constant(`v1/datasets/${name}/rows${parameters.n_samples ? `?n_samples=${FEW}` : ""}`).catch(() => null);
    if (found && !place.firstChild) place.append(thumbnail(found));
  }
}

/** @param {string} id of what, once it is in sight, @param {() => void} work is done for */
function onSight(id, work) {
  const observer = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    work();
  });
  observer.observe(byId(id));
}

function unfault() {
  for (const id of ["train", ...Object.values(PLACES), ...Object.values(shown).map((field) => field.id)]) fault(id, "");
}

/** Show what the address says. */
async function refresh() {
  const signal = turn();
  unfault();
  await trying(
    signal,
    async () => {
      const entry = await constant(`v1/losses/${encodeURIComponent(String(chosenLoss().name))}`).catch((error) => {
        if (!(error instanceof Problem)) throw error;
        fault("train", error.message);
        return { trainable: true };
      });
      if (signal.aborted) return;
      lossFamily = entry.family;
      untrainable = entry.trainable ? [] : [String(chosenLoss().name), entry.why_not];
      const preset = PRESETS[at("preset")];
      for (const pill of byId("presets").children) pill.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (pill).dataset.preset === at("preset")));
      const note = byId("shows");
      note.hidden = !preset;
      note.textContent = preset?.sentence ?? "";
      if (at("preset") && !preset) fault("train", `There is no preset named “${at("preset")}”.`);
      const body = request();
      showFields(body);
      await showRows(/** @type {Fields} */ (body.data), signal);
    },
    (problem) => fault("train", problem.message),
  );
}

/** @param {Fields} body */
function showFields(body) {
  const things = { data: /** @type {Fields} */ (body.data), model: /** @type {Fields} */ (body.model), optimizer: /** @type {Fields} */ (body.optimizer ?? {}), schedule: /** @type {Fields} */ (body.schedule ?? {}) };
  for (const [kind, thing] of Object.entries(things)) {
    /** @type {HTMLSelectElement} */
    const box = byId(`train-${kind}`);
    const name = String(thing.name ?? (kind === "data" ? "rows of your own" : ""));
    if (name && ![...box.options].some((option) => option.value === name)) box.append(h("option", {}, name));
    box.value = name;
  }
  const entry = (/** @type {string} */ kind) => entryOf(kind, things[/** @type {keyof typeof things} */ (kind)].name);
  for (const radio of byId("thumbs").querySelectorAll("input")) radio.checked = radio.value === entry("data")?.name;
  const [mover, without] = [moverOf(body), useless({ optimizer: {}, ...body })];
  const key = JSON.stringify(Object.values(things).map((thing) => thing.name ?? ""));
  if (key !== built) {
    built = key;
    shown = {};
    /** @type {HTMLElement[]} */
    const [first, more] = [byId("train-first"), byId("train-more")];
    first.replaceChildren();
    more.replaceChildren();
    for (const kind of /** @type {(keyof typeof KINDS)[]} */ (Object.keys(KINDS))) {
      const schemas = { ...(entry(kind)?.parameters ?? {}) };
      if (kind === mover) delete schemas.learning_rate; // which has a field of its own
      /** @type {Record<string, string>} */
      const labels = kind === "data" ? { seed: "seed of the data" } : {};
      const made = fields(schemas, { id: `train-${kind}`, sliders: false, labels, change: (name, value) => set(kind, name, value) });
      for (const [name, field] of Object.entries(made)) {
        shown[`${kind}.${name}`] = field;
        (FIRST.includes(name) || (kind === "data" && name === "seed") ? first : more).append(field.element);
      }
    }
    const extra = fields(
      { "early_stopping.patience": { type: "integer", minimum: 1, anyOf: [{ type: "integer" }, { type: "null" }], description: "Epochs to wait for a lower loss." }, "regularization.l2": { type: "number", default: 0, minimum: 0 }, "regularization.l1": { type: "number", default: 0, minimum: 0 }, batch_size: { anyOf: [{ type: "integer" }, { type: "null" }], description: "Rows of a step." } },
      { id: "train", sliders: false, labels: { "early_stopping.patience": "Patience", "regularization.l2": "L2 penalty", "regularization.l1": "L1 penalty", batch_size: "Batch size" }, change: (name, value) => change(placed(`train.${name}`, value ?? undefined), { source: "field" }) },
    );
    for (const [name, field] of Object.entries(extra)) {
      if (without.includes(name.split(".")[0])) continue;
      shown[name] = field;
      more.append(field.element);
    }
  }
  for (const [path, field] of Object.entries(shown)) {
    field.show(inside(body, path));
  }
  const put = (/** @type {string} */ id, /** @type {unknown} */ value) => {
    const input = control(id);
    if (document.activeElement !== input) input.value = value === undefined || value === null ? "" : String(value);
  };
  const rate = things[mover].learning_rate ?? entry(mover)?.parameters.learning_rate?.default;
  put("train-rate", rate);
  for (const [id, there] of /** @type {[string, boolean][]} */ ([["train-rate", rate !== undefined], ["train-optimizer", mover === "optimizer"], ["train-schedule", !without.includes("schedule")]])) /** @type {HTMLElement} */ (byId(id).closest(".field")).hidden = !there;
  put("train-epochs", body.epochs ?? 100);
  put("train-seed", body.seed ?? 0);
  put("train-held", body.validation === null ? "" : /** @type {Fields} */ (body.validation ?? {}).fraction ?? 0.2);
}

/** @param {string} kind @param {string} name @param {Json | undefined} value */
function set(kind, name, value) {
  const body = request();
  const thing = /** @type {Fields} */ (body[kind]);
  const key = `train.${kind}`;
  const whole = at(key) ? {} : placed(key, thing); // what was usual until now is said from now on
  change({ ...whole, ...placed(`${key}.${name}`, value) }, { source: "field" });
}

/** @param {Fields} data @param {AbortSignal} signal */
async function showRows(data, signal) {
  const key = JSON.stringify(data);
  if (key === rowsOf) return;
  const { name, ...given } = data;
  byId("fit-plot").setAttribute("aria-busy", "true");
  await trying(
    signal,
    async () => {
      const found = "inputs" in data ? { inputs: data.inputs, targets: data.targets, classes: null, features: ["input"] } : await constant(`v1/datasets/${name}/rows?${queried(given)}`);
      if (signal.aborted) return;
      rowsOf = key;
      rows = /** @type {Rows} */ (found);
      if (name) byId(`thumb-${name}`)?.replaceChildren(thumbnail(rows));
      await redraw();
    },
    (problem) => refuse(problem, ["data"]),
  );
  if (!signal.aborted) byId("fit-plot").removeAttribute("aria-busy");
}

/** @param {Problem} problem @param {string[]} [within] say what is wrong beside the field that it is about, or is in */
function refuse(problem, within = []) {
  const steps = [...within, ...(problem.faults[0]?.pointer ?? "").split("/").slice(1)];
  const here = () => PLACES[steps.join(".")] ?? shown[steps.join(".")]?.id;
  while (steps.length && !here()) steps.pop();
  const place = here() ?? "train";
  fault(place, problem.message);
  const details = byId(place)?.closest("details");
  if (details) details.open = true;
}

// --- running

/** @param {string} [name] how the run is called */
function begin(name) {
  player?.stop();
  unfault();
  if (untrainable[0] === chosenLoss().name) return fault("train", `${untrainable[0]} is not for training: ${untrainable[1]}`);
  const body = request();
  const run = newRun(typeof name === "string" ? name : titled(body), body);
  runs = [run, ...runs.filter((other) => other.shown)].slice(0, MOST_RUNS);
  byId("diagnosis").replaceChildren();
  byId("advice").replaceChildren();
  drawn = "";
  byId("epoch").textContent = `Epoch 0 of ${body.epochs ?? 100}`;
  player = play(run, {
    frame: () => void follow(run),
    end: () => {
      player = null;
      conclude(run);
    },
    refused: (problem) => {
      runs = runs.filter((other) => other !== run);
      byId("epoch").textContent = "No run: see what is said";
      refuse(problem);
      void redraw();
    },
  });
  buttons();
  void redraw();
}

/** @param {Fields} body @returns {string} what tells this run from the one before */
function titled(body) {
  const before = runs[0]?.request;
  const name = String(/** @type {any} */ (body.loss).name ?? body.loss);
  if (!before) return name;
  /** @type {string[]} */
  const differences = [];
  const compare = (/** @type {any} */ one, /** @type {any} */ other, /** @type {string} */ path) => {
    if (JSON.stringify(one) === JSON.stringify(other)) return;
    if (one && other && typeof one === "object" && typeof other === "object" && !Array.isArray(one)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) compare(one[key], other[key], key === "name" ? path : key);
    } else if (path === "loss") differences.push(name);
    else differences.push(one === undefined ? `usual ${path}` : typeof one === "object" && one && !Array.isArray(one) ? Object.entries(one).map(([key, value]) => `${key} ${value}`).join(", ") : `${path} ${Array.isArray(one) ? one.join(", ") : one}`);
  };
  compare(body, before, "");
  return differences.slice(0, 3).join(", ") || `${name}, again`;
}

function pause() {
  if (runs[0]?.phase === "paused") player?.resume();
  else player?.pause();
  buttons();
}

function step() {
  if (!player) begin();
  player?.step();
  buttons();
}

function reset() {
  player?.stop();
  runs = [];
  byId("diagnosis").replaceChildren();
  byId("advice").replaceChildren();
  byId("epoch").textContent = "No run yet";
  buttons();
  void redraw();
}

function buttons() {
  const going = runs[0]?.phase === "playing" || runs[0]?.phase === "paused";
  control("pause").disabled = !going;
  control("stop").disabled = !going;
  control("reset").disabled = !runs.length;
  byId("pause").textContent = runs[0]?.phase === "paused" ? "Resume" : "Pause";
}

/** @param {Run} run another epoch of it is to be seen */
async function follow(run) {
  const epochs = run.request.epochs ?? 100;
  byId("epoch").textContent = `Epoch ${run.shown} of ${epochs}`;
  if (!drawn) return redraw();
  curveView?.data("history", lines());
  void curveView?.runAsync();
  const surface = surfaceOf(run);
  if (surface) showFit?.(surface);
}

/** @param {Run} run that has ended */
function conclude(run) {
  buttons();
  const epochs = run.request.epochs ?? 100;
  const text = run.ended || (run.answer ? `Epoch ${run.shown} of ${epochs}` : "");
  if (text) byId("epoch").textContent = text;
  say(run.ended || (run.answer ? `The run has ended at epoch ${run.shown}` : ""));
  void redraw();
  if (!run.answer) return;
  const findings = run.answer.diagnosis;
  byId("diagnosis").replaceChildren(
    ...findings.map((/** @type {any} */ finding) => h("p", {}, h("strong", {}, finding.verdict.replaceAll("_", " ")), `: ${finding.summary} `, h("span", { class: "quiet" }, /^[a-z]/.test(finding.advice) ? `Try ${finding.advice}` : finding.advice))),
    ...(run.answer.warnings ?? []).map((/** @type {string} */ warning) => h("p", { class: "quiet" }, warning)),
    ...scores(run),
  );
  const preset = PRESETS[at("preset")];
  const applying = (/** @type {string} */ text, /** @type {() => void} */ work) => h("li", {}, h("button", { type: "button", onclick: () => (work(), begin(text)) }, `Apply ${text}`));
  const cure = preset && runs.length === 1 ? [applying(preset.cure.title, () => fill(preset.cure.train ?? preset.train, preset.cure.loss, at("preset")))] : [];
  const advice = findings.flatMap((/** @type {any} */ finding) => finding.advice.replace(/\.$/, "").split(/; (?:or |and )?/).flatMap((/** @type {string} */ part) => advised(part)));
  byId("advice").replaceChildren(...cure, ...advice.slice(0, 5).map((/** @type {string[][]} */ fields) => applying(fields.map((field) => field.join(" ")).join(", "), () => apply(fields))));
}

/** @param {string} text a piece of advice @returns {string[][][]} the fields with the values that it names, where it names any */
function advised(text) {
  const found = ADVICE.exec(text.trim());
  if (!found) return [];
  const [, path, value, other, more] = found;
  return [[[path, value.replaceAll(" ", "")], ...(other ? [[other.includes(".") ? other : `${path.split(".")[0]}.${other}`, more]] : [])]];
}

/** @param {string[][]} fields */
function apply(fields) {
  /** @type {Fields} */
  const loss = {};
  /** @type {Record<string, string | null>} */
  let changes = {};
  for (const [path, text] of fields) {
    const value = valueOf(text);
    if (path.startsWith("loss.")) loss[path.slice(5)] = value;
    else {
      const kind = path.split(".")[0];
      const thing = kind in KINDS && !at(`train.${kind}`) && request()[kind];
      changes = { ...changes, ...(thing ? placed(`train.${kind}`, thing) : {}), ...placed(`train.${path.replace(/\.name$/, "")}`, value ?? undefined) };
    }
  }
  if (Object.keys(loss).length) chooseLoss(/** @type {any} */ (loss.name ? loss : { ...chosenLoss(), ...loss }));
  else change(changes, { push: true });
}

/** @param {Run} run @returns {Node[]} */
function scores(run) {
  const { metrics, training_loss, validation_loss, epoch } = run.answer.final;
  const pair = (/** @type {string} */ name, /** @type {number | null} */ training, /** @type {number | null} */ validation) => `${name} ${written(training, 4)}${validation === null ? "" : ` in training, ${written(validation, 4)} in validation`}`;
  const parts = [pair("loss", training_loss, validation_loss), ...Object.entries(metrics).map(([name, both]) => pair(name, both.training, both.validation))];
  return [h("p", { class: "quiet" }, `The model of epoch ${epoch}: ${parts.join("; ")}. ${run.answer.n_parameters ?? "No"} weights, ${run.answer.data.training_rows} rows.`)];
}

// --- charts

/** @returns {{name: string, title: string, of: (epoch: import("./run.js").Epoch) => [number | null, number | null]}[]} what can be shown over the epochs */
function quantities() {
  const metrics = Object.keys(runs[0]?.history[0]?.metrics ?? {});
  return [
    { name: "loss", title: "loss", of: (epoch) => [epoch.training_loss, epoch.validation_loss] },
    ...metrics.map((name) => ({ name, title: name, of: (/** @type {import("./run.js").Epoch} */ epoch) => /** @type {[number | null, number | null]} */ ([epoch.metrics[name]?.training ?? null, epoch.metrics[name]?.validation ?? null]) })),
    { name: "learning rate", title: "learning rate", of: (epoch) => [epoch.learning_rate, null] },
    { name: "gradient norm", title: "gradient norm", of: (epoch) => [epoch.gradient_norm, null] },
  ];
}

const quantityNow = () => quantities().find((found) => found.name === control("quantity").value) ?? quantities()[0];

/** @returns {{x: number, y: number, line: string, dash: number, faint: boolean, run: number}[]} the lines of all runs that are shown */
function lines() {
  const keep = Number(control("smoothing").value);
  const log = control("log").checked;
  const { of } = quantityNow();
  return runs.flatMap((run, index) => {
    if (!run.seen) return [];
    const epochs = played(run);
    return [0, 1].flatMap((side) => {
      const raw = epochs.map((epoch) => of(epoch)[side]);
      const kinds = keep ? /** @type {const} */ ([[raw, true], [smoothed(raw, keep), false]]) : /** @type {const} */ ([[raw, false]]);
      return kinds.flatMap(([numbers, faint]) => epochs.map((epoch, place) => ({ x: epoch.epoch, y: numbers[place], line: `${index} ${side} ${faint}`, dash: side, faint, run: index })).filter((row) => row.y !== null && (!log || Number(row.y) > 0)));
    });
  }).map((row) => ({ ...row, y: Number(row.y) })).reverse(); // the newest lies on top; a line is drawn in the order of x
}

/** Of each run the colours of its two lines: the newest run is blue, its validation orange; those before have the other colours. */
const STROKES = [["--s1", "--s2"], ["--s3", "--s3"], ["--s4", "--s4"], ["--control", "--control"]];

async function redraw() {
  /** @type {HTMLSelectElement} */
  const box = byId("quantity");
  const wanted = quantities().map((found) => found.name);
  if (wanted.join() !== [...box.options].map((option) => option.value).join()) {
    const value = box.value;
    box.replaceChildren(...wanted.map((name) => h("option", {}, name)));
    if (wanted.includes(value)) box.value = value;
  }
  list();
  await Promise.all([drawCurve(), drawRows()]);
}

async function drawCurve() {
  const host = byId("loss-curve-plot");
  const now = quantityNow();
  const log = control("log").checked;
  const rows = lines();
  describe();
  drawn = "";
  if (!rows.length) {
    host.replaceChildren(h("p", { class: "quiet" }, runs.length ? "The first epoch is coming." : "Run shows the loss here, epoch by epoch, on training and on validation rows."));
    return;
  }
  const last = Math.max(...runs.filter((run) => run.seen).map((run) => (run.phase === "ended" ? run.shown : Number(run.request.epochs ?? 100))), 2);
  const best = runs[0]?.seen && runs[0].answer?.best_epoch && runs[0].phase === "ended" ? [{ x: runs[0].answer.best_epoch, text: `best: epoch ${runs[0].answer.best_epoch}` }] : [];
  const strokes = STROKES.flatMap((tokens, run) => tokens.flatMap((token, side) => [false, true].map((faint) => [`${run} ${side} ${faint}`, colour(token)])));
  const x = quantity("x", "epoch", { domain: [0, last], grid: false, format: "d", tickMinStep: 1 });
  const y = quantity("y", log ? `${now.title}, logarithmic` : now.title, { log, minExtent: 44 });
  if (!log) y.scale.zero = now.name === "loss" && Math.min(...rows.map((row) => row.y)) >= 0;
  const right = best[0]?.x > 0.6 * last;
  const layer = [
    { data: { values: best }, mark: { type: "rule", strokeDash: [2, 3] }, encoding: { x, y: { value: 0 }, y2: { value: 260 } } },
    { data: { values: best }, mark: { type: "text", align: right ? "right" : "left", dx: right ? -6 : 6, baseline: "top" }, encoding: { x, y: { value: 0 }, text: { field: "text" } } },
    {
      data: { name: "history" },
      mark: { type: "line", clip: true },
      encoding: {
        x,
        y,
        color: { field: "line", type: "nominal", legend: null, scale: { domain: strokes.map(([line]) => line), range: strokes.map(([, stroke]) => stroke) } },
        strokeDash: { field: "dash", type: "nominal", legend: null, scale: { domain: [0, 1], range: [[1, 0], [6, 4]] } },
        strokeWidth: { condition: { test: "datum.faint || datum.run > 0", value: 1.25 }, value: 2.25 },
        opacity: { condition: { test: "datum.faint", value: 0.35 }, value: 1 },
      },
    },
  ];
  curveView = (await draw(host, { width: room(host), height: 260, autosize: { type: "pad", resize: true }, layer, datasets: { history: rows } })) ?? curveView;
  drawn = "curve";
}

/** @param {Run} run whether it is of the rows that are drawn */
const ofRows = (run) => JSON.stringify(run.request.data) === rowsOf;
/** @param {Run | undefined} run @returns {import("./run.js").Surface | null} what it has learned */
const surfaceOf = (run) => (run && ofRows(run) ? run.surface : null);

async function drawRows() {
  const host = byId("fit-plot");
  const run = runs[0];
  const surface = surfaceOf(run);
  if (!rows) return host.replaceChildren(h("p", { class: "quiet" }, "What the model makes of the rows is drawn here."));
  if (rows.inputs[0].length > 2) {
    const answer = run && ofRows(run) ? run.answer : null;
    showFit = null;
    if (answer) return captioned("fit", "Fit", await drawAgreement(host, rows, answer));
    host.replaceChildren();
    return captioned("fit", "Fit", `${rows.inputs.length} rows of ${rows.inputs[0].length} columns: what is predicted is drawn when the run has ended`);
  }
  const words = fitInWords(surface, rows);
  captioned("fit", "Fit", surface ? words : `${words}; the fit is drawn while a model learns them`);
  showFit = await drawFit(host, rows, surface, run?.setup?.data.predictions_encoding ?? "real");
}

/** @param {import("./run.js").Epoch} epoch */
const losses = ({ training_loss, validation_loss }) => `training ${written(training_loss, 4)}${validation_loss === null ? "" : `, validation ${written(validation_loss, 4)}`}`;

/** The runs by name, each to be hidden or shown. */
function list() {
  const group = byId("runs");
  group.replaceChildren(
    ...runs.map((run, index) => {
      const box = h("input", { type: "checkbox", checked: run.seen });
      box.addEventListener("change", () => {
        run.seen = box.checked;
        void redraw();
      });
      const line = swatch(0);
      /** @type {SVGElement} */ (line.firstElementChild).style.stroke = `var(${STROKES[index][0]})`;
      const end = run.shown ? run.history[run.shown - 1] : null;
      return h("div", {}, h("label", {}, box, line, run.name), end && h("span", { class: "hint" }, losses(end)));
    }),
  );
  const validated = runs.some((run) => run.history[0]?.validation_loss != null);
  byId("loss-curve-legend").replaceChildren(...(runs.length ? [h("li", {}, swatch(0), "training"), ...(validated ? [h("li", {}, swatch(1), "validation")] : [])] : []));
}

function describe() {
  const run = runs[0];
  const end = run?.history[run.shown - 1];
  if (!run || !end) return captioned("loss-curve", "Training and validation loss", "");
  const best = run.answer?.best_epoch ? `; best epoch ${run.answer.best_epoch}` : "";
  captioned("loss-curve", "Training and validation loss", `${run.name}, ${run.shown} epochs; last: ${losses(end)}${best}`);
}

/** @returns {(string | number | null)[][]} the runs as a table */
function historyRows() {
  const metrics = Object.keys(runs[0]?.history[0]?.metrics ?? {});
  const head = ["run", "epoch", "training_loss", "validation_loss", ...metrics.flatMap((name) => [`${name}_training`, `${name}_validation`]), "learning_rate"];
  return [head, ...runs.flatMap((run) => run.history.slice(0, run.shown).map((epoch) => [run.name, epoch.epoch, epoch.training_loss, epoch.validation_loss, ...metrics.flatMap((name) => [epoch.metrics[name]?.training ?? null, epoch.metrics[name]?.validation ?? null]), epoch.learning_rate]))];
}
