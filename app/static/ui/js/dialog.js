// Dialogs that ask before something is done, and their fields.

import { h, show } from "./dom.js";
import { announce, errorNote } from "./shell.js";

// Ask in a dialog. `act(form)` does what was asked for and gives the words to announce; where it fails, the dialog says
// why. `done()` draws the page again after the dialog closed.
export function dialog({ title, content, verb, act, done }) {
  // The button that opened the dialog may be replaced. The focus then goes to another button of its row.
  const row = document.activeElement.closest("tr, li") ?? document.getElementById("main");
  const message = h("div");
  const button = h("button", { class: "main" }, verb);
  const form = h("form", { class: "panel" },
    h("h2", { id: "dialog-title" }, title),
    content,
    message,
    h("div", { class: "row" }, button, h("button", { type: "button", onclick: () => opened.close() }, "Cancel")));
  const opened = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  let acting = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (acting) return;
    acting = true;
    button.textContent = `${verb}…`;
    show(message);
    try {
      const words = await act(form);
      opened.close();
      announce(words);
      await done();
      if (document.activeElement === document.body) {
        const next = (row.isConnected && row.querySelector("button")) || document.getElementById("main");
        next.focus({ preventScroll: true });
      }
    } catch (error) {
      show(message, errorNote(error));
    }
    button.textContent = verb;
    acting = false;
  });
  opened.addEventListener("close", () => opened.remove());
  document.body.append(opened);
  opened.showModal();
}

export const labelled = (label, field) => h("label", {}, label, field);

export const textField = (name, value, more = {}) =>
  h("input", { name, value: value ?? "", autocomplete: "off", ...more });

export function selectField(name, chosen, options, more = {}) {
  const option = ([value, words]) => h("option", { value, selected: value === chosen }, words);
  return h("select", { name, ...more }, options.map(option));
}

const LONGEST_NOTE = 1000;

export const noteField = (name, label, more = {}) =>
  labelled(label, h("textarea", { name, rows: 3, maxlength: LONGEST_NOTE, ...more }));
