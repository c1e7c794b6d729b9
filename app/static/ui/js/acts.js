// What people do about a monitored version: acknowledge its verdict, mute its alerts, comment on it.

import { path, query, send, now as clock } from "./api.js";
import { dialog, labelled, noteField, selectField, textField } from "./dialog.js";
import { ago, h, named, utc } from "./dom.js";
import { mayWrite } from "./shell.js";
import { isBad } from "./verdict.js";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

const noteOf = (form) => (form.elements.note.value.trim() ? { note: form.elements.note.value.trim() } : {});

// A time as a field of the type `datetime-local` has it: in the zone of this machine.
const localTime = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, 16);

function acknowledge(name, registration, done) {
  const { model_version: version, since, verdict } = registration;
  dialog({
    title: ["Acknowledge ", named(name, ` v${version}`)],
    content: [
      h("p", {}, `Others see that you know of it, until the verdict is no longer ${verdict}.`),
      noteField("note", "Note (optional)"),
    ],
    verb: "Acknowledge",
    act: async (form) => {
      await send("POST", path.version(name, version, "acknowledgement"), { since, ...noteOf(form) });
      return `${name} version ${version} is acknowledged.`;
    },
    done,
  });
}

function mute(name, registration, done) {
  const version = registration.model_version;
  const metrics = Object.keys(registration.metrics).sort().map((metric) => [metric, metric]);
  dialog({
    title: ["Mute ", named(name, ` v${version}`)],
    content: [
      h("p", {}, "No alerts are sent until then. The verdict stays visible."),
      labelled("What", selectField("metric", "", [["", "the whole version"], ...metrics])),
      labelled("Until (your local time)",
        textField("until", localTime(clock() + DAY_MS), { type: "datetime-local", required: true })),
      noteField("note", "Note (optional)"),
    ],
    verb: "Mute",
    act: async (form) => {
      const { metric, until } = form.elements;
      await send("POST", path.version(name, version, "mutes"), {
        until: new Date(until.value).toISOString(), ...(metric.value ? { metric: metric.value } : {}), ...noteOf(form),
      });
      return `${metric.value || `${name} version ${version}`} is muted.`;
    },
    done,
  });
}

function comment(name, registration, done) {
  const version = registration.model_version;
  dialog({
    title: ["Comment on ", named(name, ` v${version}`)],
    content: noteField("text", "Comment", { required: true }),
    verb: "Comment",
    act: async (form) => {
      await send("POST", path.version(name, version, "comments"), { text: form.elements.text.value.trim() });
      return "The comment is saved.";
    },
    done,
  });
}

function takeBack(name, registration, done) {
  const version = registration.model_version;
  dialog({
    title: ["Take back the acknowledgement of ", named(name, ` v${version}`), "?"],
    content: [],
    verb: "Take back",
    act: async () => {
      await send("DELETE", path.version(name, version, "acknowledgement"));
      return "The acknowledgement is taken back.";
    },
    done,
  });
}

function unmute(name, registration, { metric }, done) {
  const version = registration.model_version;
  dialog({
    title: ["Unmute ", named(metric ?? name, metric ? "" : ` v${version}`), "?"],
    content: h("p", {}, "Alerts are sent again. If the verdict is not what was announced last, one follows."),
    verb: "Unmute",
    act: async () => {
      await send("DELETE", path.version(name, version, "mutes") + query({ metric }));
      return `${metric ?? `${name} version ${version}`} is no longer muted.`;
    },
    done,
  });
}

// The buttons for a monitored version; null for roles that may not. `registration` is its entry in `/monitoring`.
export function actButtons(name, registration, done) {
  if (!mayWrite) return null;
  const version = `version ${registration.model_version}`;
  const button = (verb, words, onclick) => h("button", { type: "button", "aria-label": words, onclick }, `${verb}…`);
  const undo = () => takeBack(name, registration, done);
  return h("div", { class: "row" },
    registration.acknowledged && button("Take back", `Take back the acknowledgement of ${version}`, undo),
    !registration.acknowledged && isBad(registration.verdict)
      && button("Acknowledge", `Acknowledge ${version}`, () => acknowledge(name, registration, done)),
    button("Mute", `Mute ${version}`, () => mute(name, registration, done)),
    registration.mutes.map((muted) => button(
      muted.metric ? `Unmute ${muted.metric}` : "Unmute", `Unmute ${muted.metric ?? version}`,
      () => unmute(name, registration, muted, done))),
    button("Comment", `Comment on ${version}`, () => comment(name, registration, done)));
}

// Who has acknowledged a verdict, and what is muted, in words.
export function actsInWords({ acknowledged, mutes }) {
  const by = (act) => [h("bdi", {}, act.by), act.note && [": ", h("q", {}, act.note)]];
  return [
    acknowledged && h("div", { class: "quiet" }, "acknowledged ", ago(acknowledged.at), " by ", by(acknowledged)),
    mutes.map((muted) => h("div", { class: "quiet" },
      muted.metric ? `${muted.metric} ` : "", `muted until ${utc(muted.until)} by `, by(muted))),
  ];
}
