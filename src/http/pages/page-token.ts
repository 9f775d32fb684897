/**
 * Page tokens of lists. A token contains the revision of the database, the second of a time-dependent list, a
 * digest of the question, the size of the pages and the index of the next page. It contains no ids: its owner learns
 * nothing from it, and a forged token gives only a page of a list that its owner could have requested anyway.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { ListingVersion, PagedQuestion } from "../../engine/request/questions.ts";
import { AppError } from "../../util/app-error.ts";

export interface PageToken extends ListingVersion {
  /** The page size of the first request; those of later requests are ignored. */
  readonly size: number;
  /** The index in the list where this page starts. */
  readonly start: number;
}

/** Longer than all tokens that this program makes. */
export const pageTokenCharactersMax = 1000;

const tokenSchema = z.tuple([
  z.literal(2),
  z.string().regex(/^[0-9a-f]{16}$/),
  z.int().min(0),
  z.int().min(0).nullable(),
  z.int().min(1),
  z.int().min(0),
  z.string(),
]);

/** `digest` is the digest of the question. */
export function formatPageToken({ epoch, offset, second, size, start }: PageToken, digest: string): string {
  const parts: z.input<typeof tokenSchema> = [2, epoch, offset, second, size, start, digest];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Throws `invalid_request` if the text is not a valid token, or belongs to another question. */
export function parsePageToken(text: string, digest: string): PageToken {
  const parsed = tokenSchema.safeParse(decode(text));
  if (!parsed.success) throw malformedToken();
  const [, epoch, offset, second, size, start, questionOfToken] = parsed.data;
  if (questionOfToken !== digest) {
    throw new AppError(
      "invalid_request",
      "the `page_token` belongs to another question, repeat the request that returned it, with the same context facts",
    );
  }
  return { epoch, offset, second, size, start };
}

export function malformedToken(): AppError {
  return new AppError("invalid_request", "the `page_token` is malformed, send the value of `next_page_token`");
}

/** Equal only for equal questions. Context facts are a set: clients send them again with each page, in any order. */
export function questionDigest(question: PagedQuestion): string {
  const facts = question.contextFacts.map(({ predicate, args }) =>
    JSON.stringify([predicate, ...args.map(({ type, id }) => [type, id])]),
  );
  const asked =
    "actorType" in question
      ? [question.actorType, null, question.action, question.resource.type, question.resource.id]
      : [question.actor.type, question.actor.id, question.action, question.resourceType];
  return createHash("sha256")
    .update(JSON.stringify([...asked, [...new Set(facts)].sort()]))
    .digest("base64url");
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
