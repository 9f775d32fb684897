/**
 * Events: what the log holds, the broker carries and `apply` applies. An event carries effects (the facts really inserted, the facts really
 * deleted, after wildcards were resolved), never questions, so that every copy ends in the same state. One write transaction is one event.
 */
import { z } from "zod";
import type { Fact } from "../store/fact.ts";

const value = z.object({ type: z.string().min(1), id: z.string().min(1) }).strict();
const fact = z.object({ predicate: z.string().min(1), args: z.array(value).min(1) }).strict();

export const apiKeyRole = z.enum(["admin", "write", "read"]);
export type ApiKeyRole = z.infer<typeof apiKeyRole>;

/** An API key as it is stored and replicated: the hash of its text, never the text. */
const apiKey = z
  .object({
    id: z.string().min(1),
    name: z.string(),
    role: apiKeyRole,
    hash: z.string().length(64),
    timeMs: z.number().int(),
  })
  .strict();
export type ApiKey = z.infer<typeof apiKey>;

/** Names the request that was done: who sends it again is told so, on whatever node (`store/answered.ts`). */
const request = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .optional();

export const effect = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("facts"), inserted: z.array(fact), deleted: z.array(fact), request }).strict(),
  z
    .object({
      kind: z.literal("policy"),
      id: z.number().int().positive(),
      source: z.string(),
      filename: z.string().nullable(),
      request,
    })
    .strict(),
  /** All facts go; policy and keys stay. */
  z.object({ kind: z.literal("clear"), request }).strict(),
  z
    .object({
      kind: z.literal("keys"),
      added: z.array(apiKey),
      removed: z.array(z.string()),
      /** The keys that those took the place of, or that were removed: what is needed to go back. */
      replaced: z.array(apiKey).optional(),
    })
    .strict(),
  /** A new epoch begins: nothing of the state changes, only who goes on with this history. */
  z
    .object({ kind: z.literal("epoch"), epoch: z.string().regex(/^[0-9a-f]{16}$/), term: z.number().int().positive() })
    .strict(),
]);
export type Effect = z.infer<typeof effect>;

export interface Event {
  /** Position in the log, from 1 without gaps. */
  readonly offset: number;
  /** Time of commit on the primary, in ms since 1970. */
  readonly timeMs: number;
  /** W3C trace context of the request that caused it, where that was sampled. */
  readonly traceparent: string | null;
  readonly effect: Effect;
}

/** One element of `POST /api/batch`: facts to add, or patterns of facts to take away. */
export type Change = { readonly inserts: readonly Fact[] } | { readonly deletes: readonly FactPattern[] };

export type { Fact, FactPattern } from "../store/fact.ts";
import type { FactPattern } from "../store/fact.ts";
