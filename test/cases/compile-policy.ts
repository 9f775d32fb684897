import { compile } from "../../src/polar/compile.ts";
import type { PolarLimits } from "../../src/polar/limits.ts";
import type { Policy } from "../../src/polar/policy.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";

export const policyLimits: PolarLimits = {
  sourceBytesMax: 1_000_000,
  depthMax: 100,
  expandedItemsMax: 100_000,
  diagnosticsMax: 20,
};

/** The checked policy of a case. A case's policy is meant to be valid, so a refused one fails with its diagnostics. */
export function compilePolicy(text: string): Policy {
  const sources = [{ name: "case.polar", text }];
  const { policy, diagnostics } = compile(sources, policyLimits);
  if (policy === undefined) throw new Error(renderDiagnostics(diagnostics, sources, { color: false }));
  return policy;
}
