/** The result of a list as the decision log has it: the number of its entries, and a digest that tells lists apart. */
import { createHash } from "node:crypto";
import { packStrings, type PackedStrings } from "./packed-strings.ts";
import type { DecisionKind, ListResult, Questions } from "./questions.ts";

/**
 * Undefined for a kind whose answer is no list. Equal answers of one kind have equal results. SQL counts as one entry, or
 * as none if it is false for all rows.
 */
export function listResultOf(kind: DecisionKind, answer: Questions[DecisionKind]["answer"]): ListResult | undefined {
  if (typeof answer === "boolean") return undefined;
  if ("sql" in answer) return { count: isNeverTrue(answer.sql) ? 0 : 1, digest: shortDigest(JSON.stringify(answer)) };
  if ("ids" in answer) return stringsResult(answer.ids);
  if (kind === "list") return stringsResult(packStrings(answer as string[]));
  return { count: answer.length, digest: shortDigest(JSON.stringify(answer)) };
}

/** Whether the SQL of local authorization is false for all rows. */
export function isNeverTrue(sql: string): boolean {
  return neverTrue.test(sql);
}

const neverTrue = /^(?:SELECT )?FALSE(?: AS \w+)?$| WHERE 1 = 0(?:\) AS ost_rows)?$/;

/** A list in pages and the same list as a whole have one result. */
function stringsResult({ block, ends }: PackedStrings): ListResult {
  return {
    count: ends.length,
    digest: shortDigest(block, new Uint8Array(ends.buffer, ends.byteOffset, ends.byteLength)),
  };
}

/** Half of a SHA-256: long enough that two results never have the same by chance. */
const digestBytes = 16;

function shortDigest(...parts: readonly (string | Uint8Array)[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest().subarray(0, digestBytes));
}
