import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Policy } from "../../src/polar/policy.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";

/**
 * The checked policy of a case. The policy of a case must be valid, so a refused one fails the test with its
 * diagnostics.
 */
export function compilePolicy(text: string): Policy {
  const sources = [{ name: "case.polar", text }];
  const { policy, diagnostics } = checkPolicy(sources, { runTests: false });
  if (policy === undefined) throw new Error(renderDiagnostics(diagnostics, sources, { color: false }));
  return policy;
}
