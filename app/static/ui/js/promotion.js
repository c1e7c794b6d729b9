// Promotions as people read them: a card with its evidence for what waits, and a row for what is decided.

import { path } from "./api.js";
import { comparisonResult } from "./comparison_result.js";
import { ago, h, many, named, none, table, utc } from "./dom.js";
import { decisionButtons, placeInWords } from "./promote.js";
import { choices } from "./shell.js";
import { badge } from "./verdict.js";

const STATES = {
  waiting: "waiting", moving: "being carried out", done: "✓ done", refused: "✕ refused", withdrawn: "withdrawn",
  expired: "expired", taken_back: "taken back",
};
const STEPS = { begun: "begun", moved: "moved", recorded: "recorded in the history", taken_back: "taken back" };
const FINDINGS = new Map(choices.finding_of_any);
const ROLLBACK = "rollback";
// The cell that a card on a narrow screen always shows.
const STATE = 1;

export const isOpen = ({ state }) => state === "waiting" || state === "moving";

const by = (name) => h("bdi", {}, name);
const quoted = (words) => words && h("q", { class: "written" }, words);
const overridden = ({ override }) =>
  override && h("span", { class: "word degraded" }, " ! passes over the gate");

function title(promotion, showsModel) {
  const words = [`${showsModel ? "version" : "Version"} ${promotion.version} for `,
    h("bdi", {}, placeInWords(promotion))];
  return showsModel
    ? [h("a", { href: path.model(promotion.model_name) }, named(promotion.model_name)), " ", words]
    : words;
}

const before = ({ before: versions }) => (versions.length ? `version ${versions.join(", ")}` : "no version");

// What waits, as a list of cards. `showsModel`: they may be of several models.
export function waitingList(promotions, done, showsModel) {
  return h("ul", { class: "cards wide" }, promotions.map((promotion) => h("li", {
    class: "card", "data-key": promotion.id,
  },
  h("div", { class: "grow" },
    h("h3", {}, title(promotion, showsModel), overridden(promotion)),
    h("p", { class: "fact" }, "Proposed by ", by(promotion.proposed_by), " ", ago(promotion.proposed_at),
      `, in place of ${before(promotion)}: `, quoted(promotion.reason)),
    h("p", { class: "fact quiet" },
      promotion.state === "moving" ? "It is being carried out." : [
        `${promotion.approved_by.length} of ${many(promotion.approvals_needed, "approval")}`,
        promotion.approved_by.length > 0 && [" (", promotion.approved_by.map((name, at) => [at > 0 && ", ", by(name)]),
          ")"],
        `; expires on ${utc(promotion.expires_at)}`,
      ]),
    evidence(promotion),
    promotion.state === "waiting" && decisionButtons(promotion, done)))));
}

// What the gate said when it was proposed.
function evidence(promotion) {
  const {
    passes, why_not: whyNot, comparison, compared_with: comparedWith, verdict, verdict_since: since, findings,
  } = promotion.evidence;
  // A rollback is not asked for evidence.
  if (passes === undefined) return null;
  const what = `${promotion.model_name} version ${promotion.version} for ${placeInWords(promotion)}`;
  const proposed = `proposed by ${promotion.proposed_by} at ${promotion.proposed_at}`;
  return [
    h("p", { class: "fact" },
      passes
        ? h("span", { class: "word healthy" }, "✓ the gate lets it pass")
        : [h("span", { class: "word degraded" }, "! the gate does not let it pass: "), whyNot.join(" ")]),
    h("p", { class: "fact" }, "Verdict: ", badge(verdict), since && [" since ", ago(since)],
      findings.length > 0 && `; findings: ${findings.map((kind) => FINDINGS.get(kind) ?? kind).join(", ")}`),
    comparison
      ? h("details", { open: true },
        h("summary", {}, `Comparison with version ${comparison.baseline.version}`,
          comparedWith === "effective_stage" && `, which was effectively in ${comparison.baseline.stage}`),
        comparisonResult(comparison, `Comparison of ${what}, ${proposed}`))
      : h("p", { class: "fact quiet" }, "Nothing was there, so nothing was compared."),
  ];
}

// What is decided, as a table.
export function decidedTable(promotions, showsModel) {
  const columns = [
    showsModel ? "Model and version" : "Version", "State", "Asked for by", "Decided", "Reason", "Details",
  ];
  return table("Decided promotions", columns, promotions.map((promotion) => ({
    key: promotion.id,
    name: `${promotion.model_name} version ${promotion.version}`,
    class: "promotion",
    brief: [STATE],
    cells: [
      [title(promotion, showsModel), h("div", { class: "quiet" }, ` from ${before(promotion)}`)],
      [h("span", { class: `word ${promotion.state === "done" ? "healthy" : ""}` }, STATES[promotion.state]),
        promotion.origin === ROLLBACK && h("span", { class: "quiet" }, " rollback"), overridden(promotion)],
      [by(promotion.proposed_by), " ", ago(promotion.proposed_at)],
      promotion.ended_at ? ago(promotion.ended_at) : none(),
      [quoted(promotion.reason), promotion.why && h("div", { class: "quiet written" }, promotion.why)],
      h("details", {}, h("summary", { "aria-label": `Evidence and steps of version ${promotion.version}` }, "details"),
        h("ul", { class: "reasons" }, promotion.steps.map(step)), evidence(promotion)),
    ],
  })));
}

const step = ({ step: kind, at, by: name, note }) =>
  h("li", {}, `${STEPS[kind] ?? kind} by `, by(name), " ", ago(at), note && [": ", quoted(note)]);
