// Fields for parameters, from their JSON Schema.

import { h } from "./elements.js";

/** @typedef {import("./address.js").Json} Json */
/** @typedef {import("./address.js").Fields} Fields */
/**
 * @typedef {{type?: string, default?: Json, description?: string, enum?: Json[], minimum?: number, maximum?: number,
 *   exclusiveMinimum?: number, exclusiveMaximum?: number, anyOf?: Schema[], items?: Schema}} Schema
 */
/** @typedef {{id: string, element: HTMLElement, show: (value: Json | undefined) => void}} Field */

/**
 * A field for each parameter; told are the name and the value of one that has changed, undefined for its default.
 * @param {Record<string, Schema>} schemas
 * @param {{id: string, sliders: boolean, labels?: Record<string, string>, change: (name: string, value: Json | undefined) => void}} how
 * @returns {Record<string, Field>}
 */
export function fields(schemas, { id, sliders, labels = {}, change }) {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => {
      const label = labels[name] ?? name;
      return [name, field(`${id}-${name}`, label, schema, sliders, (value) => change(name, value))];
    }),
  );
}

/** @param {string} id @param {string} label @param {Schema} schema @param {boolean} slider @param {(value: Json | undefined) => void} change @returns {Field} */
function field(id, label, schema, slider, change) {
  const optional = schema.anyOf?.some((kind) => kind.type === "null") ?? false;
  const kind = schema.anyOf?.find((found) => found.type !== "null") ?? schema;
  const words = schema.description ?? kind.description ?? "";
  const described = { "aria-describedby": `${id}-hint ${id}-fault` };
  const hint = h("p", { class: slider ? "hint" : "unseen", id: `${id}-hint` }, words);
  const wrong = h("p", { class: "fault", id: `${id}-fault` });
  const code = label.includes(" ") || /^[A-Z]/.test(label) ? label : h("code", {}, label);
  const shown = (/** @type {Json | undefined} */ value) => (value === undefined ? (schema.default ?? null) : value);
  if (kind.type === "boolean") {
    const box = h("input", { type: "checkbox", id, ...described });
    box.addEventListener("change", () => change(box.checked));
    const element = h("div", { class: "field", title: slider ? null : words }, h("label", { class: "check" }, box, code), hint, wrong);
    return { id, element, show: (value) => void (box.checked = shown(value) === true) };
  }
  const choices = kind.enum ?? null;
  if (choices) {
    const select = h("select", { id, ...described }, optional && h("option", { value: "" }, "as suits"), ...choices.map((choice) => h("option", { value: String(choice) }, String(choice))));
    select.addEventListener("change", () => change(select.value === "" ? null : (choices.find((choice) => String(choice) === select.value) ?? null)));
    const element = h("div", { class: "field", title: slider ? null : words }, h("label", { for: id }, code), select, hint, wrong);
    return { id, element, show: (value) => void (select.value = String(shown(value) ?? "")) };
  }
  const numeric = kind.type === "number" || kind.type === "integer";
  const input = h("input", { id, type: numeric ? "number" : "text", step: kind.type === "integer" ? 1 : "any", autocomplete: "off", placeholder: null, ...described });
  if (kind.minimum !== undefined) input.min = String(kind.minimum);
  if (kind.maximum !== undefined) input.max = String(kind.maximum);
  input.addEventListener("input", () => {
    if (input.value === "") change(optional ? null : undefined);
    else change(numeric ? Number(input.value) : listed(input.value, kind));
  });
  const bounded = kind.type === "number" || (kind.minimum !== undefined && kind.maximum !== undefined);
  const range = numeric && slider && bounded && !optional ? h("input", { type: "range", "aria-label": label, ...described }) : null;
  range?.addEventListener("input", () => {
    input.value = range.value;
    change(Number(range.value));
  });
  const element = h(
    "div",
    { class: "field", title: slider ? null : words },
    h("label", { for: id }, code),
    range ? h("div", { class: "slide" }, range, input) : input,
    hint,
    wrong,
  );
  const show = (/** @type {Json | undefined} */ value) => {
    const found = shown(value);
    const text = found === null ? "" : typeof found === "object" ? (Array.isArray(found) && found.every((item) => typeof item !== "object") ? found.join(", ") : JSON.stringify(found)) : String(found);
    if (document.activeElement !== input || Number(input.value) !== found) input.value = text;
    if (range) stretch(range, kind, typeof found === "number" ? found : 1, typeof schema.default === "number" ? schema.default : 1);
  };
  return { id, element, show };
}

/** Lists are written with commas; what is written as JSON is JSON. @param {string} text @param {Schema} kind @returns {Json} */
function listed(text, kind) {
  if (/^\s*[[{"]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  if (kind.type !== "array") return text;
  return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => (Number.isNaN(Number(part)) ? part : Number(part)));
}

/** Let a slider reach over what is usual. @param {HTMLInputElement} range @param {Schema} kind @param {number} value @param {number} usual */
function stretch(range, kind, value, usual) {
  const open = kind.exclusiveMinimum;
  const low = kind.minimum ?? open ?? Math.min(-5, 2 * value);
  let high = Math.min(kind.maximum ?? kind.exclusiveMaximum ?? Infinity, 1e6);
  if (high - low > 100) high = Math.max(low + 4, 4 * Math.abs(usual), value);
  const step = kind.type === "integer" ? 1 : nice((high - low) / 100);
  range.step = String(step);
  range.min = String(open === undefined ? low : low + step);
  range.max = String(kind.exclusiveMaximum !== undefined && high === kind.exclusiveMaximum ? high - step : high);
  range.value = String(value);
}

/** @param {number} step @returns {number} 1, 2 or 5 times a power of ten */
export function nice(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= step * 0.999) ?? 10;
  return Number((factor * power).toPrecision(3));
}
