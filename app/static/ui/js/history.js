// The history of registrations: what was registered and removed, the verdicts that changed, and what people did.

import { get, query } from "./api.js";
import { ago, h, named, utc } from "./dom.js";
import { list } from "./list.js";
import { always } from "./shell.js";
import { badge, reasons, word } from "./verdict.js";

// A list of events, newest first. `values` is the query, `link(event)` names the version of an event, and
// `read(events)` is called with what was read; the other options are those of `list`.
export function historyList(place, { values, link, read = () => {}, rest, nothing, step, seconds }) {
  return list(place, {
    // A history is marked stale while old verdicts are still being read; that is no reason for a note about its age.
    read: async (signal) => {
      const { body, pages } = await get(`/monitoring/history${query(values)}`, signal);
      read(body);
      return { body, pages };
    },
    content: (events) => h("ul", { class: "events" }, events.map((event) => listItem(event, link))),
    rest,
    nothing,
    step,
    noun: "events",
    seconds,
    of: always,
  });
}

const by = (event) => (event.by ? h("span", { class: "quiet" }, " by ", h("bdi", {}, event.by)) : null);

// What happened, in words, by the kind of the event.
const WORDS = {
  verdict: (event) => [h("span", { class: "quiet" }, `${word(event.before)} → `), badge(event.verdict)],
  acknowledged: (event) => [badge(event.verdict), " acknowledged", by(event)],
  unacknowledged: (event) => ["acknowledgement taken back", by(event)],
  muted: (event) => [event.metric && [named(event.metric), " "], `muted until ${utc(event.until)}`, by(event)],
  unmuted: (event) => [event.metric && [named(event.metric), " "], "no longer muted", by(event)],
  withdrawn: (event) => ["observations withdrawn", by(event)],
  commented: (event) => ["comment", by(event)],
};

function listItem(event, link) {
  const words = WORDS[event.event]?.(event) ?? [event.event, by(event)];
  return h("li", { "data-key": `${event.at} ${event.event} ${event.monitor_run_id}` },
    h("span", { class: "when" }, ago(event.at)),
    h("div", {},
      h("span", {}, link(event), " ", words,
        event.began_at && h("span", { class: "quiet" }, "; the change began ", ago(event.began_at))),
      event.note ? h("div", { class: "written" }, event.note) : null,
      event.reasons.length ? h("div", { class: "quiet" }, reasons(event.reasons, event.verdict)) : null));
}
