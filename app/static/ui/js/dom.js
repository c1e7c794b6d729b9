// Elements are made by functions. Text is set as text, so nothing that MLflow holds becomes markup.

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
    else if (isPresent(value)) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

const isPresent = (value) => value !== null && value !== undefined && value !== false;

const present = (children) => children.flat(Infinity).filter(isPresent);

// Replace the content of an element. What is the same as before stays in place, and keeps the focus, the selection,
// the scroll position and open details.
export function show(place, ...children) {
  const wanted = place.cloneNode(false);
  wanted.append(...present(children));
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  morphdom(place, wanted, {
    childrenOnly: true,
    getNodeKey: (node) => node.dataset?.key,
    onBeforeElUpdated: (from, to) => {
      for (const name of HANDLERS) from[name] = to[name];
      // Another library draws into it.
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

// Stands for a missing value.
export const none = () => h("span", { class: "none" }, "–");

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? String(value) : value.toPrecision(4);
  const size = Math.abs(value);
  return size >= 0.01 && size < 1000 ? value.toFixed(3) : value.toPrecision(3);
}

export const many = (count, singular, plural = `${singular}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? singular : plural}`;

const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const WORDS = new Intl.RelativeTimeFormat("en", { numeric: "always" });

// A time as a moment in UTC, and as a day.
export const utc = (text) => `${new Date(text).toISOString().slice(0, 16).replace("T", " ")} UTC`;

export function day(text) {
  const time = new Date(text);
  const isThisYear = time.getUTCFullYear() === new Date(now()).getUTCFullYear();
  const year = isThisYear ? {} : { year: "numeric" };
  return time.toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC", ...year });
}

// How long ago a time was. MLflow may hold a time in the future.
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

// A table of rows `{key, cells, class, brief, name}`. A column is a name, or `{label, content, sort}` with what its
// head shows and its `aria-sort`. On a narrow screen the table becomes a list of cards; the roles keep it a table for
// screen readers. Of a row with `brief` a card shows only the cells with these indices until it is opened; `name` is
// the row's, for screen readers.
export function table(caption, columns, rows) {
  const head = (column) =>
    h("th", { role: "columnheader", scope: "col", "aria-sort": column.sort }, column.content ?? column);
  const cell = (content, index, brief) => (index
    ? h("td", {
      role: "cell", "data-label": columns[index].label ?? columns[index], class: brief?.includes(index) && "brief",
    }, h("div", {}, content))
    : h("th", { role: "rowheader", scope: "row" }, content));
  const fold = (name) =>
    h("details", { class: "fold" }, h("summary", { "aria-label": `Details of ${name}` }, "details"));
  const tableRow = ({ key, cells: [first, ...others], class: kind, brief, name }) =>
    h("tr", { role: "row", "data-key": key, class: [kind, brief && "foldable"].filter(Boolean).join(" ") || null },
      cell(brief ? [h("div", { class: "grow" }, first), fold(name)] : first, 0),
      others.map((content, index) => cell(content, index + 1, brief)));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${caption}` },
    h("table", { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(head))),
      h("tbody", { role: "rowgroup" }, rows.map(tableRow))));
}

// The name of a model or experiment. Its direction of writing does not spread to the text around it.
export const named = (name, more = "") => h("span", { class: "name" }, h("bdi", {}, name), more);

// A sentence of the service, which has names of columns between backticks.
export const prose = (sentence) =>
  sentence.split("`").map((words, index) => (index % 2 ? h("code", {}, h("bdi", {}, words)) : words));

export function note(...children) {
  return h("p", { class: "note" }, children);
}

// A list of terms and their values.
export function pairs(values) {
  const content = (value) => (value instanceof Node || Array.isArray(value) ? value : String(value));
  return h("dl", {}, Object.entries(values).map(([name, value]) => [h("dt", {}, name), h("dd", {}, content(value))]));
}
