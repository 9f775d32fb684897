/**
 * Page tokens of `GET /api/facts`. A token contains a digest of the filter, and the position behind the last fact that
 * was examined, as texts. So it is valid on every node and for ever; a forged token only begins elsewhere.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { FactFilter, FactPosition } from "../../engine/request/questions.ts";
import { AppError } from "../../util/app-error.ts";
import { malformedToken } from "./page-token.ts";

/** The version, the digest, the number of arguments, and the lengths of the predicate and the texts that follow. */
const headerSchema = z
  .tuple([z.literal(1), z.string(), z.int().min(1).max(factArgumentsMax), z.int().min(1)], z.int().min(0))
  .refine(([, , arity, , ...lengths]) => lengths.length <= 2 * arity);

/** The texts follow the header as they are, because quoting would make a token longer than a URL can be. */
export function formatFactPageToken({ predicate, arity, texts }: FactPosition, filter: FactFilter): string {
  const header = JSON.stringify([
    1,
    filterDigest(filter),
    arity,
    predicate.length,
    ...texts.map((text) => text.length),
  ]);
  return Buffer.from(`${header}${predicate}${texts.join("")}`).toString("base64url");
}

/** Throws `invalid_request` if the text is not a token, or belongs to another filter. */
export function parseFactPageToken(token: string, filter: FactFilter): FactPosition {
  const text = Buffer.from(token, "base64url").toString("utf8");
  const end = text.indexOf("]") + 1;
  const parsed = headerSchema.safeParse(jsonOf(text.slice(0, end)));
  if (!parsed.success) throw malformedToken();
  const [, digest, arity, ...lengths] = parsed.data;
  if (digest !== filterDigest(filter))
    throw new AppError(
      "invalid_request",
      "the `page_token` belongs to another question, repeat the request that returned it",
    );
  const [predicate, ...texts] = splitAt(text.slice(end), lengths);
  if (predicate === undefined) throw malformedToken();
  return { predicate, arity, texts };
}

function splitAt(text: string, lengths: readonly number[]): string[] {
  if (lengths.reduce((sum, length) => sum + length, 0) !== text.length) throw malformedToken();
  let start = 0;
  return lengths.map((length) => text.slice(start, (start += length)));
}

function filterDigest({ predicate, args, contains }: FactFilter): string {
  const parts = [predicate, args.map((arg) => arg && [arg.type, arg.id]), contains && [contains.type, contains.id]];
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 16);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
