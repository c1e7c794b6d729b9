// The fleet as it was at a time: the field that asks for it, and how the list says what of it is known.

import { h, many, note, show, utc } from "./dom.js";
import { addressValues, onAddress, setAddress } from "./shell.js";

// What is not known of the past, so that it can neither be filtered nor sorted by.
const UNKNOWN_FILTERS = ["finding", "owner", "tag"];
const KNOWN_SORTS = ["name", "-name", "verdict", "-verdict"];

export const isPast = () => Boolean(addressValues().at);

const timeOf = (text) => {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
};

// The field holds UTC, as all times on the pages. `filters` is the form with the filters of the list, and
// `drawPresent()` draws what is only shown of now.
export function pastForm(filters, drawPresent) {
  const form = document.getElementById("past");
  const back = document.getElementById("back-to-now");
  const place = document.getElementById("past-note");
  const { at } = form.elements;
  let wasPast = false;

  const draw = () => {
    const asked = addressValues().at;
    const time = timeOf(asked ?? "");
    for (const part of document.querySelectorAll("[data-of-now]")) part.hidden = isPast();
    for (const name of UNKNOWN_FILTERS) filters.elements[name].closest("label").hidden = isPast();
    back.hidden = place.hidden = !isPast();
    if (document.activeElement !== at) at.value = time?.slice(0, 16) ?? "";
    show(place, isPast() && [
      h("strong", {}, `The fleet as it was on ${time ? utc(time) : asked}. `),
      "Stages, aliases, versions and verdicts are those of that time. Metrics, tags, owners, times of update and "
        + "findings of the past are not known.",
    ]);
    if (wasPast && !isPast()) drawPresent();
    wasPast = isPast();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { sort } = addressValues();
    setAddress({
      at: timeOf(`${at.value}Z`)?.replace(/\.000Z$/, "Z") ?? at.value,
      ...Object.fromEntries(UNKNOWN_FILTERS.map((name) => [name, ""])),
      ...(KNOWN_SORTS.includes(sort) ? {} : { sort: "" }),
    });
  });
  back.onclick = () => {
    setAddress({ at: "" });
    at.focus();
  };
  onAddress(draw);
  draw();
}

export const knownCell = ({ known }) => (known ? "yes" : h("span", { class: "word degraded" }, "? not sure"));

// How many of the models are not known for sure.
export function unknownNote({ pages: { total, unknown } }) {
  if (!unknown) return note("All of it is known.");
  const which = unknown === total
    ? `${total === 1 ? "It is" : `All ${many(total, "model")} are`} not known for sure`
    : `${many(unknown, "model")} of ${total} ${unknown === 1 ? "is" : "are"} not known for sure`;
  return note(`${which}: something changed around that time, or the service did not look then. What was seen last `
    + "before that time is shown.");
}
