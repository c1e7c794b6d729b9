// What all lists of the pages have in common.

import { h, note, show } from "./dom.js";
import { addressValues, ageNote, filters, onAddress, part, setAddress } from "./shell.js";

// Draw a list into an element, now and with each poll.
// - `read(signal)` gives an answer of the API, whose `body` has the rows, or an object like one.
// - `content(rows, answer)` makes elements of the rows, and `nothing(answer)` the words for a list without any.
// - `form` has the filters. The list is read again when they change.
// - `select(rows)` filters rows that the API does not filter.
// - `rest(answer)` leads to the rows that were not read.
// - `step` is how many rows to show at first. A button, named by the plural `noun`, shows more.
// - `seconds` and `of` are those of a part.
export function list(place, options) {
  const { read, content, nothing, form, select = (rows) => rows, rest = () => null, step = Infinity, noun } = options;
  let most = step;
  const draw = (answer) => {
    const rows = select(answer.body);
    if (!rows.length) {
      show(place, ageNote(answer), empty(answer, form, nothing));
      return;
    }
    const showMore = () => {
      most += 4 * step;
      draw(answer);
    };
    show(place,
      ageNote(answer),
      content(rows.slice(0, most), answer),
      rest(answer),
      rows.length > most && moreButton(`Show more of ${rows.length} ${noun}`, showMore));
  };
  if (form) filters(form);
  const turn = part(place, async (signal) => draw(await read(signal)), options);
  if (form) onAddress(turn);
  return turn;
}

export const moreButton = (words, onclick) => h("button", { type: "button", class: "more", onclick }, words);

// A list without rows: because of the page, because of the filters, or because there are none at all.
function empty(answer, form, nothing) {
  if (!answer.body.length && answer.pages?.total > 0) return [note("The list has no such page."), pager(answer)];
  const { page: _, sort: __, open: ___, at: ____, ...asked } = addressValues();
  const isFiltered = form && (answer.body.length > 0 || Object.keys(asked).length > 0);
  return note(isFiltered ? "Nothing matches the filters." : nothing(answer));
}

// A column whose head sorts the list: first in its usual direction, then in the other, then as the list is sorted
// without a choice. `key` is the API's name of the order, with `-` where its usual direction is descending.
// `isDefault`: the list has this order without a choice.
export function sortable(label, key, isDefault = false) {
  const reversed = key.startsWith("-") ? key.slice(1) : `-${key}`;
  const present = () => addressValues().sort ?? (isDefault ? key : "");
  const next = { [key]: reversed, [reversed]: "" };
  const sort = present();
  const direction = sort.startsWith("-") ? "descending" : "ascending";
  const isSorted = sort === key || sort === reversed;
  const arrow = isSorted ? { ascending: " ▲", descending: " ▼" }[direction] : "";
  return {
    label,
    sort: isSorted ? direction : null,
    content: h("button", { type: "button", class: "sort", onclick: () => setAddress({ sort: next[present()] ?? key }) },
      label, h("span", { "aria-hidden": "true" }, arrow)),
  };
}

// Which page of a list is shown, with buttons to the pages beside it.
export function pager({ pages }) {
  const page = Number(addressValues().page) || 1;
  const last = Math.max(1, pages.total_pages);
  if (last < 2 && page <= last) return null;
  const open = (target) => setAddress({ page: target === 1 ? "" : String(target) });
  const button = (target, word) =>
    h("button", { type: "button", disabled: target < 1 || target > last, onclick: () => open(target) }, word);
  const position = page > last
    ? `Page ${page} of only ${last}`
    : `Page ${page} of ${last}, ${pages.total} in total`;
  return h("nav", { class: "pager", "aria-label": "Pages of the list" },
    button(Math.min(page - 1, last), "Previous"),
    h("span", {}, position),
    button(page + 1, "Next"));
}
