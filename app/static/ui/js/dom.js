// Elements made by hand: text is set as text, so nothing that MLflow holds is ever markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Put new content in place of the old: what is the same stays, and the keyboard's focus with it.
export function show(place, ...children) {
  const made = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const old = [...place.childNodes];
  if (old.length === made.length && old.every((node, at) => node.isEqualNode(made[at]))) return;
  place.replaceChildren(...made);
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 0.01 && size < 1000 ? value.toFixed(3) : value.toPrecision(3);
}

const UNITS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const WORDS = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(text) {
  if (!text) return h("span", { class: "quiet" }, "never");
  const seconds = (new Date(text) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return h("time", { datetime: text, title: text }, WORDS.format(Math.round(seconds / size), unit));
}

export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${caption}` },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => cell instanceof Element && cell.tagName === "TH" ? cell : h("td", {}, cell)))))));
}

export function head(...children) {
  return h("th", { scope: "row" }, children);
}

export function note(...children) {
  return h("p", { class: "note" }, children);
}
