// A combobox with a list to choose from (ARIA Authoring Practices: editable, list autocomplete).

import { h } from "./elements.js";

/** @typedef {{name: string, group: string, about: string, words: string, loss?: import("./address.js").Json}} Option words: what else it is found by, in lower case; loss: with its parameters */

/**
 * @param {HTMLInputElement} input within its box
 * @param {Option[]} options
 * @param {{value: () => string, take: (option: Option) => void, first?: () => Option[]}} how value: what is chosen now; first: what stands above all where nothing is typed
 */
export function chooser(input, options, { value, take, first = () => [] }) {
  const box = /** @type {HTMLElement} */ (input.parentElement);
  const list = h("ul", { role: "listbox", id: `${input.id}-list`, "aria-label": input.labels?.[0]?.textContent ?? "", hidden: true });
  box.append(list);
  for (const [name, text] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id, type: "text" })) {
    input.setAttribute(name, text);
  }
  /** @type {Option[]} */
  let found = [];
  /** @type {HTMLElement[]} */
  let shown = [];
  let active = -1;

  const open = (/** @type {string} */ typed) => {
    const above = typed ? [] : first();
    found = [...above, ...ranked(options, typed)];
    list.replaceChildren();
    let group = list;
    shown = found.map((option, index) => {
      if (!typed && option.group !== group.ariaLabel) {
        group = h("ul", { role: "group", "aria-label": option.group }, h("li", { role: "presentation" }, option.group));
        list.append(group);
      }
      const item = h("li", { role: "option", id: `${list.id}-${index}` }, option.name, h("small", {}, option.about));
      item.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
      item.addEventListener("click", () => choose(option));
      group.append(item);
      return item;
    });
    if (!found.length) list.append(h("li", { role: "presentation" }, `Nothing is called “${typed}”`));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(typed ? 0 : above.length ? -1 : found.findIndex((option) => option.name === value()));
  };
  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (/** @type {number} */ index) => {
    active = shown.length ? Math.min(Math.max(index, -1), shown.length - 1) : -1;
    shown.forEach((item, place) => {
      item.classList.toggle("active", place === active);
      item.setAttribute("aria-selected", String(place === active));
    });
    const item = shown[active];
    if (!item) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  };
  const choose = (/** @type {Option} */ option) => {
    close();
    take(option);
    input.value = value();
  };
  const restore = () => {
    close();
    input.value = value();
  };

  input.addEventListener("input", () => open(input.value.trim()));
  input.addEventListener("click", () => list.hidden && (input.select(), open("")));
  input.addEventListener("blur", restore);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) open("");
      else mark(active + step < 0 && active <= 0 && step === -1 ? shown.length - 1 : Math.max(active + step, 0));
    } else if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      if (found[active]) choose(found[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      restore();
      input.select();
    }
  });
}

/** @param {Option[]} options @param {string} typed @returns {Option[]} those that fit, the exact name first */
function ranked(options, typed) {
  const words = typed.toLowerCase().split(/[\s_]+/).filter(Boolean);
  if (!words.length) return options;
  const rank = (/** @type {Option} */ option) => {
    if (option.name === typed.toLowerCase()) return 0;
    if (option.words.split("\n").includes(typed.toLowerCase())) return 1;
    if (option.name.startsWith(words[0])) return 2;
    return words.every((word) => option.name.includes(word)) ? 3 : 4;
  };
  return options
    .filter((option) => words.every((word) => option.words.includes(word)))
    .map((option, index) => ({ option, index, rank: rank(option) }))
    .sort((one, other) => one.rank - other.rank || one.index - other.index)
    .map(({ option }) => option);
}
