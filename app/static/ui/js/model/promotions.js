// The promotions of one model: what waits, and what was decided last.

import { get, path, query } from "../api.js";
import { list } from "../list.js";
import { decidedTable, isOpen, waitingList } from "../promotion.js";
import { always, promotes } from "../shell.js";

const SECONDS = 60;
const MOST = 50;
const STEP = 5;

// The section is hidden where nothing was ever proposed, and is not there where promotion is off. Returns the function
// that draws it.
export function promotionsOf(model, changed) {
  if (!promotes) return () => null;
  const section = document.getElementById("promotions-section");
  return list(document.getElementById("promotions"), {
    read: async (signal) => {
      const answer = await get(path.of(model.name, "promotions") + query({ page_size: MOST }), signal);
      section.hidden = answer.body.length === 0;
      return answer;
    },
    select: (rows) => [...rows.filter(isOpen), ...rows.filter((row) => !isOpen(row))],
    content: (rows) => {
      const waiting = rows.filter(isOpen);
      const decided = rows.filter((row) => !isOpen(row));
      return [
        waiting.length > 0 && waitingList(waiting, changed, false),
        decided.length > 0 && decidedTable(decided, false),
      ];
    },
    nothing: () => "Nothing was proposed yet.",
    step: STEP,
    noun: "promotions",
    seconds: SECONDS,
    of: always,
  });
}
