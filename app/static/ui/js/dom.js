// Elements made by hand: text is set as text, so nothing that MLflow holds is ever markup.

import { now } from "./api.js";
import morphdom from "../../vendor/morphdom/morphdom-esm.js";

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onchange"];

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

// Make the content of a place what is given. What is there already stays where it is, with the keyboard's focus, what
// is selected or scrolled, and what was opened.
export function show(place, ...children) {
  const made = place.cloneNode(false);
  made.append(...present(children));
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  morphdom(place, made, {
    childrenOnly: true,
    getNodeKey: (node) => node.dataset?.key,
    onBeforeElUpdated: (from, to) => {
      for (const name of HANDLERS) from[name] = to[name];
      // What others draw into is theirs.
      if (from.dataset.kept !== undefined) {
        if (to.ariaLabel) from.ariaLabel = to.ariaLabel;
        return false;
      }
      if (from.tagName === "DETAILS") to.open = from.open;
      return true;
    },
  });
  // A row that moves loses the focus.
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

// What stands where there is nothing to say.
export const none = () => h("span", { class: "none" }, "–");

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? String(value) : value.toPrecision(4);
  const size = Math.abs(value);
  return size >= 0.01 && size < 1000 ? value.toFixed(3) : value.toPrecision(3);
}

export const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const WORDS = new Intl.RelativeTimeFormat("en", { numeric: "always" });

// How long ago that was; what MLflow dates into the future is so.
function since(text) {
  const seconds = (new Date(text) - now()) / 1000;
  if (Math.abs(seconds) < 60) return seconds > -5 ? "just now" : `${Math.round(-seconds / 5) * 5} seconds ago`;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each);
  return WORDS.format(Math.round(seconds / size), unit);
}

export function ago(text) {
  return text ? h("time", { datetime: text, title: text }, since(text)) : h("span", { class: "quiet" }, "never");
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time")) {
    const words = since(time.dateTime);
    if (time.firstChild.nodeValue !== words) time.firstChild.nodeValue = words;
  }
}, 5000);

// A table that becomes a list of cards where it is narrow; the roles say that it stays a table. Rows: `{key, cells}`.
export function table(caption, columns, rows) {
  const cell = (content, at) => (at
    ? h("td", { role: "cell", "data-label": columns[at] }, h("div", {}, content))
    : h("th", { role: "rowheader", scope: "row" }, content));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${caption}` },
    h("table", { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { role: "columnheader", scope: "col" }, column)))),
      h("tbody", { role: "rowgroup" }, rows.map(({ key, cells }) => h("tr", { role: "row", "data-key": key }, cells.map(cell))))));
}

// A name keeps its direction of writing to itself.
export const named = (name, more = "") => h("span", { class: "name" }, h("bdi", {}, name), more);

export function note(...children) {
  return h("p", { class: "note" }, children);
}

export function pairs(values) {
  return h("dl", {}, Object.entries(values).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Node || Array.isArray(value) ? value : String(value))]));
}
