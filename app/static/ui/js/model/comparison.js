// Two versions of a model compared: the form that chooses them, and the answer.

import { get, path, query } from "../api.js";
import { comparisonResult } from "../comparison_result.js";
import { h, show } from "../dom.js";
import { addressValues, filters, onAddress, part } from "../shell.js";

const SECONDS = 120;

// `offerVersions` fills the fields of the form with the versions and aliases of the model.
export function comparison(model) {
  const place = document.getElementById("comparison");
  const form = document.getElementById("compare");
  const { baseline, candidate } = form.elements;
  // What was chosen last. The other field takes it where both fields would name the same version.
  let last = {};
  const remember = () => { last = { baseline: baseline.value, candidate: candidate.value }; };

  // A field may name a version by its number or by an alias.
  const versionOf = (choice) =>
    model.versions.find((row) => row.version === choice || row.aliases.includes(choice))?.version;

  // A version is not compared with itself: `field` takes what `fixed` had before, or any other version.
  const keepApart = (field, fixed) => {
    if (!fixed.value || versionOf(field.value) !== versionOf(fixed.value)) return;
    const offered = [last[fixed.name], ...model.versions.map((row) => row.version)];
    const other = offered.find((choice) => choice && versionOf(choice) !== versionOf(fixed.value));
    if (other) field.value = other;
  };

  const offerVersions = () => {
    const { versions } = model;
    form.hidden = versions.length < 2;
    // The service takes a number for a version, so an alias that is a number cannot be chosen by its name.
    const aliases = new Set(versions.flatMap((row) => row.aliases).filter((alias) => !/^\d+$/.test(alias)));
    const names = [...aliases, ...versions.map((row) => row.version)];
    const option = (name, chosen) =>
      h("option", { value: name, selected: name === chosen }, aliases.has(name) ? name : `version ${name}`);
    const fill = (field, alias, version) => {
      if ([...field.options].map((each) => each.value).join() === names.join()) return;
      const usual = names.includes(alias) ? alias : version?.version ?? names[0];
      const chosen = addressValues()[field.name] || field.value || usual;
      field.replaceChildren(...names.map((name) => option(name, chosen)));
    };
    fill(baseline, "champion", versions[1] ?? versions[0]);
    fill(candidate, "challenger", versions[0]);
    if (!addressValues().candidate) keepApart(candidate, baseline);
    remember();
  };

  // Added before the form is bound to the address, so that the address gets two different versions.
  form.addEventListener("input", ({ target }) => {
    if (target === baseline) keepApart(candidate, baseline);
    if (target === candidate) keepApart(baseline, candidate);
    remember();
  });
  filters(form);

  const asked = () => {
    const values = addressValues();
    return query({ baseline: values.baseline, candidate: values.candidate, margin: values.margin });
  };
  const draw = part(place, async (signal) => {
    const values = addressValues();
    if (!values.baseline || !values.candidate) {
      show(place);
      return;
    }
    const { body } = await get(path.of(model.name, "compare") + asked(), signal);
    show(place, comparisonResult(body));
  }, { seconds: SECONDS, of: asked });
  onAddress(draw);
  return { offerVersions };
}
