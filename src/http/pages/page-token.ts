/**
 * Tokens of `/api/list`. A token names what its page is of: the revision of the store, the second where the list hangs on the clock, and the
 * question, by a digest. Beside that only the size of the pages and the place of the next one, no id: whoever has a token learns nothing from it, and
 * who forges one only gets a page of what it could have asked for.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { ListingVersion } from "../../engine/query/result-sets.ts";
import type { ListQuestion } from "../../engine/request/questions.ts";
import { AppError } from "../../util/app-error.ts";

export interface PageToken extends ListingVersion {
  /** The size of the first request: what later ones say does not matter. */
  readonly size: number;
  /** The place in the list where this page starts. */
  readonly start: number;
}

/** No token of ours is longer. */
export const pageTokenCharactersMax = 1000;

const tokenSchema = z.tuple([
  z.literal(2),
  z.string().regex(/^[0-9a-f]{16}$/),
  z.int().min(0),
  z.int().min(0).nullable(),
  z.int().min(1),
  z.int().min(1),
  z.string(),
]);

/** `digest` is that of the question. */
export function formatPageToken({ epoch, offset, second, size, start }: PageToken, digest: string): string {
  const parts: z.input<typeof tokenSchema> = [2, epoch, offset, second, size, start, digest];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Throws `invalid_request` where the text is no token of ours, or one of another question. */
export function parsePageToken(text: string, digest: string): PageToken {
  const parsed = tokenSchema.safeParse(decode(text));
  if (!parsed.success) throw malformedToken();
  const [, epoch, offset, second, size, start, asked] = parsed.data;
  if (asked !== digest) {
    throw new AppError(
      "invalid_request",
      "the `page_token` belongs to another question, repeat the one that it came from, with its context facts",
    );
  }
  return { epoch, offset, second, size, start };
}

export function malformedToken(): AppError {
  return new AppError("invalid_request", "the `page_token` is malformed, send back what `next_page_token` held");
}

/** Equal for equal questions alone. Context facts are a set: clients send them again with each page, in any order. */
export function questionDigest({ actor, action, resourceType, contextFacts }: ListQuestion): string {
  const facts = contextFacts.map(({ predicate, args }) =>
    JSON.stringify([predicate, ...args.map(({ type, id }) => [type, id])]),
  );
  const question = [actor.type, actor.id, action, resourceType, [...new Set(facts)].sort()];
  return createHash("sha256").update(JSON.stringify(question)).digest("base64url");
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
