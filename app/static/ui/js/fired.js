// Why rules fired at a point, in words.

import { number } from "./dom.js";

const REASONS = {
  limit: ({ limits }, value) => {
    if (Number.isFinite(limits?.min) && value < limits.min) return `below the limit, at least ${number(limits.min)}`;
    if (Number.isFinite(limits?.max) && value > limits.max) return `above the limit, at most ${number(limits.max)}`;
    return "beyond a limit";
  },
  baseline: ({ baseline, reach }, value, n) => {
    if (!baseline) return "deviates from the baseline";
    const [low, high] = [baseline.mean - reach, baseline.mean + reach];
    const of = `the baseline ${number(baseline.mean)} ± ${number(baseline.std)}`;
    if (value < low) return `below ${number(low)}, the least in line with ${of}`;
    if (value > high) return `above ${number(high)}, the most in line with ${of}`;
    return n
      ? `deviates from ${of}, for a value of ${n} cases or together with the points before it (cumulative sum)`
      : `deviates a little from ${of}, and so did the points before it (cumulative sum)`;
  },
  unit: ({ baseline }) => (baseline
    ? `far better than the baseline ${number(baseline.mean)} ± ${number(baseline.std)}: has its unit changed?`
    : "far better than the baseline: has its unit changed?"),
};

// A sentence for each rule that fired at a point of a line, beginning with the rule's name.
export const firedInWords = (line, { value, n, fired }) =>
  fired.map((rule) => `${rule}: ${REASONS[rule]?.(line, value, n) ?? "fired"}`);
