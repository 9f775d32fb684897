/** A decision for tests of the decision log. */
import type { Decision } from "../../src/decisions/decision-entry.ts";

export function decisionOf(keyId: string, requestId: string, allowed = true, asked = "q".repeat(50)): Decision {
  const version = { epoch: "0123456789abcdef", offset: 2 ** 40, policyId: 7, clock: 1_795_000_000, isCached: true };
  const common = { kind: "authorize", isBody: true, traceId: null, result: undefined, version } as const;
  return { ...common, keyId, requestId, question: asked, allowed, timeMs: 0, durationUs: 12 };
}
