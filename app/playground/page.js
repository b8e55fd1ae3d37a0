// The page: three panels on one loss.

import { at, change, onChange } from "./address.js";
import { byId } from "./elements.js";
import { look } from "./look.js";

const VIEWS = ["look", "data", "train"];

function navigation() {
  for (const link of document.querySelectorAll("[data-view]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const view = /** @type {HTMLElement} */ (link).dataset.view ?? "look";
      change({ view }, { push: true });
      byId(view).scrollIntoView();
    });
  }
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("panels").focus();
  });
  const mark = () => {
    for (const link of document.querySelectorAll("[data-view]")) {
      if (/** @type {HTMLElement} */ (link).dataset.view === (at("view") || "look")) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  onChange(mark);
  mark();
}

async function begin() {
  navigation();
  const looked = look();
  const view = at("view");
  await looked;
  const [{ data }, { train }] = await Promise.all([import("./data.js"), import("./train.js")]); // what is seen first comes first
  await Promise.all([data(), train()]);
  if (VIEWS.includes(view) && view !== "look") byId(view).scrollIntoView();
}

void begin();
