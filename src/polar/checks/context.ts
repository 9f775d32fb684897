import type { Declarations } from "../declarations.ts";
import type { PolarLimits } from "../limits.ts";
import type { Report } from "../report.ts";
import type { Program } from "../syntax.ts";

export interface Context {
  readonly program: Program;
  readonly declarations: Declarations;
  readonly limits: PolarLimits;
  readonly report: Report;
}

export const primitiveTypes: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

/** Supertypes of all actors and of all resources. They have no values of their own. */
export const abstractTypes: ReadonlySet<string> = new Set(["Actor", "Resource"]);
