/** Translates files that are given as texts, and checks the policy that comes out. */
import { defaultLimits } from "../../src/config/limits.ts";
import { nodeChecks } from "../../src/cli/import/relation-schemas.ts";
import { polarLimits } from "../../src/policy/active-policy.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { readOpenFga } from "../../src/import/openfga-store.ts";
import { readSpiceDb } from "../../src/import/spicedb-validation.ts";
import { translate } from "../../src/import/translation.ts";
import { format } from "../../src/polar/format.ts";
import { must } from "../../src/util/assert.ts";

type Files = Readonly<Record<string, string>>;

const reader = (files: Files) => (path: string) => must(files[path], `${path} exists`);

export function fromSpiceDb(files: Files, path = "schema.zed", more: readonly string[] = []) {
  return written(readSpiceDb(path, more, reader(files)));
}

export function fromOpenFga(files: Files, path = "model.fga", more: readonly string[] = []) {
  return written(readOpenFga(path, more, reader(files)));
}

function written(source: Parameters<typeof translate>[0]) {
  const { policy, facts, untranslated } = translate(source, nodeChecks);
  const formatted = format({ name: "policy.polar", text: policy }, polarLimits(defaultLimits));
  const checked = checkPolicy([{ name: "policy.polar", text: policy }], { runTests: true });
  return {
    policy: "text" in formatted ? formatted.text.trim() : formatted.diagnostics,
    facts: facts.map(
      ({ predicate, args }) => `${predicate}(${args.map(({ type, id }) => `${type}:${id}`).join(", ")})`,
    ),
    untranslated: untranslated.map(({ place: { file, line }, message }) => `${file}:${line}: ${message}`),
    errors: checked.diagnostics.filter(({ severity }) => severity === "error").map(({ message }) => message),
    warnings: checked.diagnostics.filter(({ severity }) => severity === "warning").map(({ message }) => message),
    tests: checked.tests,
  };
}
