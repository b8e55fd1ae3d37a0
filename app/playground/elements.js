// Elements, texts and numbers.

/** @typedef {string | Node | null | undefined | false} Child */

/**
 * The element with an id, of the kind that is expected.
 * @template {Element} [T=HTMLElement] @param {string} id @returns {T}
 */
export function byId(id) {
  return /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));
}

/** The same where it has a value. @param {string} id */
export const control = (id) => /** @type {HTMLInputElement} */ (byId(id));

/**
 * A new element; what begins with "on" listens.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, unknown>} [attributes] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same of SVG. @param {string} tag @param {Record<string, string | number>} attributes @param {Node[]} children @returns {SVGElement} */
export function s(tag, attributes, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {string} mathml a formula of the service @returns {Element} */
export function math(mathml) {
  return new DOMParser().parseFromString(mathml, "text/html").body.firstElementChild ?? h("span");
}

/** A number for the eye: six significant digits, a true minus. @param {unknown} number @param {number} [digits] */
export function written(number, digits = 6) {
  return typeof number === "number" ? exact(Number(number.toPrecision(digits))) : number === null || number === undefined ? "infinite" : String(number);
}

/** A number with all its digits. @param {number | null | undefined} number */
export function exact(number) {
  return number === null || number === undefined ? "infinite" : String(number === 0 ? 0 : number).replace("-", "−").replace("e-", "e−").replace("e+", "e");
}

/** Run once what was asked for last, after a rest. @param {() => void} work @param {number} ms @returns {() => void} */
export function rested(work, ms) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(work, ms);
  };
}

/** Say to those who listen. @param {string} text */
export function say(text) {
  byId("said").textContent = text;
}

/** @param {unknown[][]} rows @returns {string} as CSV */
export function csv(rows) {
  const cell = (/** @type {unknown} */ value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

/** @param {Blob} blob @param {string} name of the file */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A control under its name, with room for what is wrong with it. @param {string} name @param {HTMLElement} control @param {Child} [wrong] */
export const labelled = (name, control, wrong) => h("div", { class: "field" }, h("label", { for: control.id }, name), control, h("p", { class: "fault", id: `${control.id}-fault` }, wrong));

/** Say what is wrong beside a field, or nothing. @param {string} id the field's @param {string} text */
export function fault(id, text) {
  const place = byId(`${id}-fault`);
  if (place.textContent !== text) place.textContent = text;
  const field = document.querySelector(`:is(input, select, textarea)#${CSS.escape(id)}`); // a panel is none, and has faults too
  if (text) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
}
