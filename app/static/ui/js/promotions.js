// What waits for an approval, of all models, and what was decided in the last days.

import { get, now, query } from "./api.js";
import { list } from "./list.js";
import { decidedTable, isOpen, waitingList } from "./promotion.js";
import { always, promotes } from "./shell.js";

const WAITING_SECONDS = 30;
const DECIDED_SECONDS = 120;
const DAYS = 30;
const DAY_MS = 86_400_000;
const MOST = 200;
const STEP = 20;

// The beginning of a day, so that the address stays the same for a day and is answered with a 304.
const since = () => new Date(Math.floor(now() / DAY_MS - DAYS) * DAY_MS).toISOString();

function drawPromotions() {
  const drawAll = () => Promise.all([drawWaiting(), drawDecided()]);

  const drawWaiting = list(document.getElementById("waiting"), {
    read: (signal) => get(`/promotions${query({ page_size: MOST })}`, signal),
    content: (rows) => waitingList(rows, drawAll, true),
    nothing: () => "Nothing waits for an approval. A version is proposed on the page of its model.",
    step: STEP,
    noun: "proposals",
    seconds: WAITING_SECONDS,
    of: always,
  });

  const drawDecided = list(document.getElementById("decided"), {
    read: (signal) => get(`/promotions${query({ since: since(), page_size: MOST })}`, signal),
    select: (rows) => rows.filter((row) => !isOpen(row)),
    content: (rows) => decidedTable(rows, true),
    nothing: () => `Nothing was decided in the last ${DAYS} days.`,
    step: STEP,
    noun: "promotions",
    seconds: DECIDED_SECONDS,
    of: always,
  });
}

if (promotes) drawPromotions();
