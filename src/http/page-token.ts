/**
 * Tokens of `/api/list`. A page is "what sorts after this id", so the token needs no memory on any node and outlives restarts; it holds the
 * size of the first request and a digest of its question, because a token under another question would silently skip entries.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { ListQuestion } from "../engine/questions.ts";
import { AppError } from "../util/app-error.ts";

export interface Page {
  readonly size: number;
  /** The last id of the page before; undefined for the first page. */
  readonly after: string | undefined;
}

const tokenSchema = z.tuple([z.literal(1), z.int().min(1), z.string(), z.string()]);

export function firstPage(size: number): Page {
  return { size, after: undefined };
}

export function nextPageToken(question: ListQuestion, size: number, last: string): string {
  return Buffer.from(JSON.stringify([1, size, digestOf(question), last])).toString("base64url");
}

export function openPageToken(token: string, question: ListQuestion): Page {
  const parsed = tokenSchema.safeParse(decode(token));
  if (!parsed.success) {
    throw new AppError("invalid_request", "the `page_token` is malformed, send back what `next_page_token` held");
  }
  const [, size, digest, after] = parsed.data;
  if (digest !== digestOf(question)) {
    throw new AppError(
      "invalid_request",
      "the `page_token` belongs to another question, repeat the one that it came from",
    );
  }
  return { size, after };
}

function decode(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Context facts are not part of it: clients send them again with each page, in any order. */
function digestOf({ actor, action, resourceType }: ListQuestion): string {
  const question = JSON.stringify([actor.type, actor.id, action, resourceType]);
  return createHash("sha256").update(question).digest("base64url").slice(0, 11);
}
