// Charts: definitions in Vega-Lite, the service's own or made here in its look, drawn by Vega.

import { byId, h, s, say } from "./elements.js";
import { json } from "./service.js";

/** @typedef {{[key: string]: any}} Spec a definition in Vega-Lite */
/**
 * @typedef {{data: (name: string, rows?: unknown[]) => any, runAsync: () => Promise<unknown>, finalize: () => void,
 *   toSVG: () => Promise<string>, toCanvas: (scale: number) => Promise<HTMLCanvasElement>}} View
 */

export const VEGA_LITE = "application/vnd.vegalite+json";
const DASHES = ["none", "6 4", "2 3", "8 3 2 3"];
const LEFT = 80;
const NARROW = 480;

const dark = matchMedia("(prefers-color-scheme: dark)");
/** @type {Set<() => void>} */
const redrawn = new Set();

/** What must be drawn anew where colours or widths have changed. @param {() => void} draw */
export function onLook(draw) {
  redrawn.add(draw);
}
dark.addEventListener("change", () => redrawn.forEach((draw) => draw()));
let width = innerWidth;
addEventListener("resize", () => {
  if (Math.abs(innerWidth - width) < 8) return;
  width = innerWidth;
  redrawn.forEach((draw) => draw());
});

export const theme = () => (dark.matches ? "dark" : "light");

/** @param {string} token @returns {string} a colour of the page */
export const colour = (token) => getComputedStyle(document.documentElement).getPropertyValue(token).trim();

requestAnimationFrame(() => setTimeout(vega)); // after the first paint, and before a chart is wanted

/** @type {Promise<{vegaEmbed: (element: HTMLElement, spec: Spec, options: Spec) => Promise<{view: View}>}> | null} */
let loading = null;

/** Vega, once it is wanted. */
function vega() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: document.body.dataset.charts });
    script.addEventListener("load", () => resolve(/** @type {any} */ (window)));
    script.addEventListener("error", () => ((loading = null), reject(new Error("what draws charts did not come"))));
    document.head.append(script);
  });
  return loading;
}

/** @type {Map<string, Spec>} */
const configs = new Map();

/** How the service's charts look, for those that are made here. @returns {Promise<Spec>} */
async function config() {
  const name = theme();
  const found = configs.get(name) ?? (await json(`v1/losses/mean_squared_error/curve?points=2&theme=${name}`, { accept: VEGA_LITE })).config;
  configs.set(name, found);
  return found;
}

/** @type {WeakMap<HTMLElement, View>} */
const views = new WeakMap();
/** @type {WeakMap<HTMLElement, number>} */
const turns = new WeakMap();

/**
 * Draw a definition in the place of what stands there; undefined where a newer one has come meanwhile.
 * @param {HTMLElement} host @param {Spec} spec @returns {Promise<View | undefined>}
 */
export async function draw(host, spec) {
  const turn = (turns.get(host) ?? 0) + 1;
  turns.set(host, turn);
  if (spec.config) configs.set(theme(), spec.config);
  const { vegaEmbed } = await vega();
  /** @type {Spec} */
  const whole = { ...spec, config: { ...(spec.config ?? (await config())), font: getComputedStyle(document.body).fontFamily, background: null }, background: colour("--panel"), padding: { left: 0, right: 8, top: 4, bottom: 6 } };
  delete whole.title;
  const place = h("div");
  const { view } = await vegaEmbed(place, whole, { ast: true, actions: false, defaultStyle: false, tooltip: { disableDefaultStyle: true }, renderer: "svg" });
  if (turns.get(host) !== turn) return void view.finalize();
  const drawing = place.querySelector("svg");
  for (const labelled of place.querySelectorAll("[role], [aria-label], [aria-roledescription]")) {
    for (const name of ["role", "aria-label", "aria-roledescription"]) labelled.removeAttribute(name); // the figure says it
  }
  drawing?.setAttribute("aria-hidden", "true");
  views.get(host)?.finalize();
  host.replaceChildren(place);
  views.set(host, view);
  return view;
}

/** Room for a plot in a place, beside its axis. @param {HTMLElement} host */
export const room = (host) => Math.max(140, Math.floor(host.clientWidth) - LEFT);

/** Whether a place is too narrow for names at the ends of lines. @param {HTMLElement} host */
export const narrow = (host) => host.clientWidth < NARROW;

/**
 * A definition of the service, made for 560 units, in the width that there is: what lies beyond the plot moves with its end.
 * @param {Spec} spec @param {number} across the plot's new width @param {number} [up] what heights are multiplied by
 * @returns {Spec}
 */
export function fitted(spec, across, up = 1) {
  const panels = spec.vconcat.map((/** @type {Spec} */ panel) => {
    const { width, height } = panel;
    const layer = panel.layer
      .filter((/** @type {Spec} */ part) => !(part.encoding.x?.value > width)) // the names of lines stand in the legend
      .map((/** @type {Spec} */ part) => {
        const encoding = { ...part.encoding };
        for (const [channel, factor] of /** @type {[string, number][]} */ ([["x", across / width], ["x2", across / width], ["y", up], ["y2", up]])) {
          const value = encoding[channel]?.value;
          if (typeof value === "number" && value > 0) encoding[channel] = { value: value * factor };
        }
        return { ...part, encoding };
      });
    return { ...panel, width: across, height: Math.round(height * up), layer };
  });
  return { ...spec, vconcat: panels };
}

/** Panels side by side in as many columns as there is room for; in a narrow place with shorter axes and titles of several lines. @param {Spec} spec @param {HTMLElement} host @returns {Spec} */
export function columned(spec, host) {
  const across = Math.max(110, host.clientWidth - 170); // beside it stand names and shares
  const line = new RegExp(`.{1,${Math.floor(across / 7)}}(?= |$)|\\S+`, "g");
  const concat = narrow(host) ? spec.concat?.map((/** @type {Spec} */ panel) => ({ ...panel, width: Math.min(panel.width, across), title: { ...panel.title, text: panel.title?.text.match(line) } })) : spec.concat;
  return concat ? { ...spec, concat, columns: host.clientWidth > 700 ? 2 : 1 } : spec;
}

/** Where the plot lies, in the window. @param {HTMLElement} host @returns {DOMRect | undefined} */
export function plotted(host) {
  const ground = host.querySelector(".role-scope > g > path.background") ?? host.querySelector(".role-frame > g > path.background");
  return ground?.getBoundingClientRect();
}

/** A piece of the n-th line, for legends. @param {number} index */
export function swatch(index) {
  const line = s("line", { x1: 0, x2: 26, y1: 4, y2: 4, "stroke-width": 2.25, "stroke-dasharray": DASHES[index % 4] });
  line.style.stroke = `var(--s${(index % 4) + 1})`;
  return s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, line);
}

/** @param {HTMLElement} host @param {string[]} names */
export function legend(host, names) {
  host.replaceChildren(...names.map((name, index) => h("li", {}, swatch(index), name)));
}

/** Arrows in a figure with the focus go through its points and say them. @param {HTMLElement} figure @param {() => string[]} points */
export function walked(figure, points) {
  let index = -1;
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || event.target !== figure) return;
    event.preventDefault();
    const texts = points();
    index = Math.min(Math.max(index + step, 0), texts.length - 1);
    if (texts[index]) say(texts[index]);
  });
}

/** A quantity along an axis, as the service writes it. @param {string} field @param {string | null} title @param {Spec} [more] @returns {Spec} */
export function quantity(field, title, { domain, log = false, ...axis } = {}) {
  return { field, type: "quantitative", title, scale: { ...(log ? {} : { zero: false }), nice: !domain, ...(domain ? { domain } : {}), ...(log ? { type: "log" } : {}) }, axis: { tickCount: 5, ...axis } };
}

/** A figure with its plot and caption. @param {string} id @param {string} name @param {Node[]} more */
export function framed(id, name, ...more) {
  return h("figure", { class: "chart", id, tabindex: 0, "aria-label": name }, h("ul", { class: "legend", id: `${id}-legend` }), h("div", { class: "plot", id: `${id}-plot` }), ...more, h("figcaption", { id: `${id}-caption` }));
}

/** What a figure shows, in words: in its name, and read out. @param {string} id @param {string} name @param {string} words @param {boolean} [seen] */
export function captioned(id, name, words, seen = true) {
  const caption = byId(`${id}-caption`);
  caption.textContent = words;
  caption.hidden = !words || !seen;
  byId(id).setAttribute("aria-label", seen || !words ? name : `${name}. ${words}`);
}
