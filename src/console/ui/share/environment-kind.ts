/** Which environments were made for a shared question: their ids say so. */

/** `testenv` and 16 digits are an id of `ostiary dev`. */
const throwAwayId = /^testenv[0-9a-f]{16}$/;
const hostedId = /^open-[0-9a-f]{8}$/;

export type SharedEnvironmentKind = "throw-away" | "hosted";

/** Undefined for an environment that was not made for a shared question. */
export function kindOf(environment: string): SharedEnvironmentKind | undefined {
  if (throwAwayId.test(environment)) return "throw-away";
  return hostedId.test(environment) ? "hosted" : undefined;
}
