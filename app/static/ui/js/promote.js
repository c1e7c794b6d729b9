// The dialogs that propose a version, decide on a proposal, and roll back.

import { get, path, query, send } from "./api.js";
import { dialog, labelled, noteField, selectField, textField } from "./dialog.js";
import { h, named, note, show } from "./dom.js";
import { choices, errorNote, mayApprove, mayPropose, who } from "./shell.js";

const ALIAS = "alias";

export const placeInWords = ({ alias, stage }) => (alias === null ? `the stage ${stage}` : `the alias ${alias}`);

const promotionPath = ({ model_name: name, id }) => path.of(name, `promotions/${encodeURIComponent(id)}`);

// A number, or `METRIC=NUMBER` with commas between them, as the API takes it.
function marginOf(text) {
  const trimmed = text.trim();
  if (trimmed === "") return {};
  return { margin: Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed.split(",").map((part) => part.trim()) };
}

// The alias that a proposal is most often for: one of the version in Production, else any.
function usualAlias(versions) {
  const inUse = versions.find((row) => row.stage === "Production" && row.aliases.length > 0);
  return (inUse ?? versions.find((row) => row.aliases.length > 0))?.aliases[0] ?? "";
}

function propose(model, row, done) {
  const { name, versions } = model;
  const version = selectField("version", row.version, versions.map((each) => [each.version, `v${each.version}`]));
  const kind = selectField("kind", ALIAS, [[ALIAS, "an alias"], ...choices.promotion_stage]);
  const aliases = [...new Set(versions.flatMap((each) => each.aliases))].sort();
  const alias = textField("alias", usualAlias(versions.filter((each) => each !== row)), {
    list: "aliases", required: true,
  });
  const aliasField = labelled("Alias", alias);
  const present = h("p", { class: "note", role: "status" });
  const drawPresent = () => {
    const isAlias = kind.value === ALIAS;
    aliasField.hidden = !isAlias;
    alias.required = isAlias;
    const there = versions.filter((each) => (isAlias
      ? each.aliases.includes(alias.value.trim())
      : each.stage === kind.value && each.stage_source === "stage"));
    const numbers = there.map((each) => each.version).join(", ");
    show(present, there.length ? `Now it is on version ${numbers}.` : "No version has it now.");
  };
  for (const field of [kind, alias]) field.addEventListener("input", drawPresent);
  drawPresent();
  dialog({
    title: ["Propose a version of ", named(name)],
    content: [
      h("div", { class: "row" },
        labelled("Version", version), labelled("For", kind), aliasField,
        h("datalist", { id: "aliases" }, aliases.map((value) => h("option", { value })))),
      present,
      noteField("reason", "Reason", { required: true }),
      labelled("Margin (optional)", textField("margin", "", { placeholder: "0.01, or accuracy=0.01, rmse=2" })),
      mayApprove && h("label", { class: "check" },
        h("input", { type: "checkbox", name: "override" }), "Pass over the gate, for this reason"),
      note("The gate compares it with the version that is there, metric by metric: it may be worse by the margin. "
        + "A drifting version does not pass."),
    ],
    verb: "Propose",
    act: async ({ elements }) => {
      const place = kind.value === ALIAS ? { alias: alias.value.trim() } : { stage: kind.value };
      const made = await send("POST", path.of(name, "promotions"), {
        version: version.value, ...place, reason: elements.reason.value.trim(), ...marginOf(elements.margin.value),
        ...(elements.override?.checked ? { override: true } : {}),
      });
      const what = `Version ${made.version} and ${placeInWords(made)}`;
      return made.state === "waiting" ? `${what}: proposed, and waits for an approval.` : `${what}: carried out.`;
    },
    done,
  });
}

// The aliases and the own stage of a version: `{alias, stage}`. A stage that an alias stands for moves with the alias.
function placesOf(row) {
  const isInStage = row.stage_source === "stage" && choices.promotion_stage.some(([stage]) => stage === row.stage);
  return [
    ...row.aliases.map((alias) => ({ alias, stage: null })), ...(isInStage ? [{ alias: null, stage: row.stage }] : []),
  ];
}

function rollBack(name, row, done) {
  const places = placesOf(row);
  const which = selectField("which", "0", places.map((place, index) => [String(index), placeInWords(place)]));
  const place = () => places[Number(which.value)];
  const way = h("div", { "aria-live": "polite" });
  // What the service answered last of the place that is chosen.
  let answer = null;
  let reading;
  const read = async () => {
    reading?.abort();
    reading = new AbortController();
    const { signal } = reading;
    answer = null;
    show(way);
    try {
      const { body } = await get(path.of(name, "rollback") + query(place()), signal);
      answer = body;
      show(way, wayBack(body));
    } catch (error) {
      if (!signal.aborted) show(way, errorNote(error));
    }
  };
  which.addEventListener("input", read);
  dialog({
    title: ["Roll back ", named(name)],
    content: [
      places.length > 1 ? labelled("What", which) : null,
      way,
      noteField("reason", "Reason", { required: true }),
    ],
    verb: "Roll back",
    act: async ({ elements }) => {
      // Without an answer it is not known what would be done.
      if (!answer) throw new Error("Which version was there before is not known. Try again.");
      const { alias, stage } = answer;
      const moved = await send("POST", path.of(name, "rollback"), {
        ...(alias === null ? { stage } : { alias }), from: answer.from ?? row.version,
        ...(elements.to ? { to: elements.to.value } : {}), reason: elements.reason.value.trim(),
      });
      return `${placeInWords(moved)} is back on version ${moved.version}.`;
    },
    done,
  });
  read();
}

function wayBack({ from, to, ...place }) {
  if (from === null) return note(`Not exactly one version has ${placeInWords(place)} now, so it cannot go back.`);
  if (!to.length) return note(`No other version is known to have had ${placeInWords(place)}. Propose one instead.`);
  const sentence = (target) => `From version ${from}, ${placeInWords(place)} goes back to version ${target}.`;
  const words = h("p", {}, h("strong", {}, sentence(to[0])));
  const field = selectField("to", to[0], to.map((version) => [version, `v${version}`]));
  field.addEventListener("input", () => show(words, h("strong", {}, sentence(field.value))));
  return [words, labelled("Back to", field)];
}

function decide(promotion, { title, verb, field, act, words }, done) {
  dialog({
    title: [title, " ", named(promotion.model_name, ` v${promotion.version}`), ` for ${placeInWords(promotion)}?`],
    content: field,
    verb,
    act: async ({ elements }) => words(await act(elements.reason.value.trim())),
    done,
  });
}

function approve(promotion, done) {
  const missing = promotion.approvals_needed - promotion.approved_by.length;
  decide(promotion, {
    title: "Approve", verb: "Approve",
    field: [
      h("p", {}, missing > 1 ? `${missing - 1} more people have to approve it then.` : "It is carried out at once."),
      noteField("reason", "Note (optional)"),
    ],
    act: (words) => send("POST", `${promotionPath(promotion)}/approvals`, { note: words }),
    words: ({ state }) =>
      (state === "waiting" ? "Approved. It waits for more approvals." : "Approved and carried out."),
  }, done);
}

function end(promotion, verb, done) {
  decide(promotion, {
    title: verb, verb,
    field: noteField("reason", "Reason", { required: true }),
    act: (reason) => send("DELETE", promotionPath(promotion) + query({ reason })),
    words: ({ state }) => `The proposal is ${state}.`,
  }, done);
}

// The buttons for a version; none for roles that may not. `row` is the version as the API lists it.
export function versionButtons(model, row, done) {
  const button = (verb, onclick) => h("button", {
    type: "button", "aria-label": `${verb} version ${row.version}`, onclick,
  }, `${verb}…`);
  const buttons = [
    mayPropose && button("Propose", () => propose(model, row, done)),
    mayApprove && placesOf(row).length > 0 && button("Roll back", () => rollBack(model.name, row, done)),
  ].filter(Boolean);
  return buttons.length > 0 && h("div", { class: "row" }, buttons);
}

// The buttons for a proposal that waits: what this key may do about it.
export function decisionButtons(promotion, done) {
  const isOwn = promotion.proposed_by === who;
  const what = `${promotion.model_name} version ${promotion.version} for ${placeInWords(promotion)}`;
  const button = (verb, onclick) =>
    h("button", { type: "button", "aria-label": `${verb} ${what}`, onclick }, `${verb}…`);
  return h("div", { class: "row" },
    mayApprove && !isOwn && !promotion.approved_by.includes(who) && button("Approve", () => approve(promotion, done)),
    mayApprove && !isOwn && button("Refuse", () => end(promotion, "Refuse", done)),
    mayPropose && isOwn && button("Withdraw", () => end(promotion, "Withdraw", done)));
}
