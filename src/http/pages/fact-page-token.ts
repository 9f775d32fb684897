/**
 * Page tokens of `GET /api/facts`, and of the facts of an object. A token contains a digest of the filter, and the
 * position behind the last fact that was examined, as texts. So it is valid on every node; a forged token only begins
 * elsewhere.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { factArgumentsMax } from "../../polar/policy.ts";
import { AppError } from "../../util/app-error.ts";
import type { FactFilter, FactPosition } from "../../store/facts/fact-pages.ts";
import type { ObjectFactPosition } from "../../store/facts/object-facts.ts";
import type { Value } from "../../store/facts/fact.ts";
import { malformedToken } from "./page-token.ts";

const arity = z.int().min(1).max(factArgumentsMax);

/** The version, the digest, the number of arguments, and the lengths of the predicate and the texts that follow. */
const headerSchema = z
  .tuple([z.literal(1), z.string(), arity, z.int().min(1)], z.int().min(0))
  .refine(([, , count, , ...lengths]) => lengths.length <= 2 * count);

/** The same with the digest of the indexes, and the argument by which the facts are found. */
const objectHeaderSchema = z
  .tuple(
    [z.literal(1), z.string(), z.string().max(64), arity, z.int().min(0).nullable(), z.int().min(1)],
    z.int().min(0),
  )
  .refine(([, , , count, , , ...lengths]) => lengths.length <= 2 * count);

export function formatFactPageToken({ predicate, arity, texts }: FactPosition, filter: FactFilter): string {
  return formatToken([1, filterDigest(filter), arity], [predicate, ...texts]);
}

/** Throws `invalid_request` if the text is not a token, or belongs to another filter. */
export function parseFactPageToken(token: string, filter: FactFilter): FactPosition {
  const { header, rest } = parseToken(token, headerSchema);
  const [, digest, arity, ...lengths] = header;
  if (digest !== filterDigest(filter)) throw otherQuestion();
  const [predicate = "", ...texts] = splitAt(rest, lengths);
  return { predicate, arity, texts };
}

export function formatObjectPageToken(position: ObjectFactPosition, value: Value): string {
  const { predicate, arity, argument, texts, digest } = position;
  return formatToken([1, valueDigest(value), digest, arity, argument], [predicate, ...texts]);
}

/** Throws `invalid_request` if the text is not a token, or belongs to another object. */
export function parseObjectPageToken(token: string, value: Value): ObjectFactPosition {
  const { header, rest } = parseToken(token, objectHeaderSchema);
  const [, ofValue, digest, arity, argument, ...lengths] = header;
  if (ofValue !== valueDigest(value)) throw otherQuestion();
  const [predicate = "", ...texts] = splitAt(rest, lengths);
  return { predicate, arity, argument, texts, digest };
}

/** The texts follow the header as they are, because quoting would make a token longer than a URL can be. */
function formatToken(header: readonly unknown[], texts: readonly string[]): string {
  const json = JSON.stringify([...header, ...texts.map((text) => text.length)]);
  return Buffer.from(`${json}${texts.join("")}`).toString("base64url");
}

function parseToken<Schema extends z.ZodType>(
  token: string,
  schema: Schema,
): { readonly header: z.output<Schema>; readonly rest: string } {
  const text = Buffer.from(token, "base64url").toString("utf8");
  const end = text.indexOf("]") + 1;
  const parsed = schema.safeParse(jsonOf(text.slice(0, end)));
  if (!parsed.success) throw malformedToken();
  return { header: parsed.data, rest: text.slice(end) };
}

function splitAt(text: string, lengths: readonly number[]): string[] {
  if (lengths.reduce((sum, length) => sum + length, 0) !== text.length) throw malformedToken();
  let start = 0;
  return lengths.map((length) => text.slice(start, (start += length)));
}

function otherQuestion(): AppError {
  return new AppError(
    "invalid_request",
    "the `page_token` belongs to another question, repeat the request that returned it",
  );
}

function filterDigest({ predicate, args, contains }: FactFilter): string {
  return digestOf([predicate, args.map((arg) => arg && [arg.type, arg.id]), contains && [contains.type, contains.id]]);
}

function valueDigest({ type, id }: Value): string {
  return digestOf([type, id]);
}

function digestOf(parts: unknown): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 16);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
