/** Helpers for tests of the front end: the default limits, and compilation of one text. */
import { type Compilation, compile } from "../../src/polar/compile.ts";
import type { PolarLimits } from "../../src/polar/limits.ts";
import type { Source } from "../../src/polar/source.ts";

export const limits: PolarLimits = {
  sourceBytesMax: 1_000_000,
  depthMax: 100,
  expandedItemsMax: 100_000,
  diagnosticsMax: 100,
};

export function compileText(
  text: string,
  changed: Partial<PolarLimits> = {},
): Compilation & { readonly sources: Source[] } {
  const sources = [{ name: "policy.polar", text }];
  return { ...compile(sources, { ...limits, ...changed }), sources };
}
