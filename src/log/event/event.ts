/**
 * Events: the entries of the log. An event contains effects (the facts that were really inserted and deleted, after
 * wildcards were resolved), never requests, so every replica ends in the same state. One write is one event.
 */
import { z } from "zod";
import type { Fact, FactPattern } from "../../store/facts/fact.ts";
import { describeProblem, listOf } from "../../util/bounded-schema.ts";

export const apiKeyRoles = ["admin", "write", "read"] as const;
export type ApiKeyRole = (typeof apiKeyRoles)[number];

/** One secret of an API key, as it is stored and replicated: its hash, and its grant (`store/keys/key-grant.ts`). */
const apiKeySchema = () =>
  z
    .object({
      id: z.string().min(1),
      name: z.string(),
      role: z.enum(apiKeyRoles),
      hash: z.string().length(64),
      timeMs: z.number().int(),
    })
    .strict();
export type ApiKey = z.infer<ReturnType<typeof apiKeySchema>>;

/** Made at its first use, because it would take each thread 3 ms of its start. */
const effect = z.lazy(() => {
  const value = z.object({ type: z.string().min(1), id: z.string().min(1) }).strict();
  const fact = z.object({ predicate: z.string().min(1), args: listOf(value, { min: 1 }) }).strict();
  const apiKey = apiKeySchema();
  /** The idempotency key: a client that repeats the request gets the same answer (`store/log/idempotency.ts`). */
  const request = z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional();
  return z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("facts"), inserted: listOf(fact, {}), deleted: listOf(fact, {}), request }).strict(),
    z
      .object({
        kind: z.literal("policy"),
        id: z.number().int().positive(),
        /** The stored text, with the trailer (`policy/stored-policy.ts`). */
        source: z.string(),
        filename: z.string().nullable(),
        /** The warning in the answer, which a repeated request gets too. */
        warning: z.string().optional(),
        request,
      })
      .strict(),
    /** Deletes all facts; policy and keys stay. */
    z.object({ kind: z.literal("clear"), request }).strict(),
    z
      .object({
        kind: z.literal("keys"),
        added: listOf(apiKey, {}),
        removed: listOf(z.string(), {}),
        /** The keys that were replaced or removed: undo needs them. */
        replaced: listOf(apiKey, {}).optional(),
      })
      .strict(),
    /** A new epoch begins: the state does not change, only the primary that continues this history. */
    z
      .object({
        kind: z.literal("epoch"),
        epoch: z.string().regex(/^[0-9a-f]{16}$/),
        term: z.number().int().positive(),
      })
      .strict(),
  ]);
});
export type Effect = z.infer<typeof effect>;
export type EffectOf<Kind extends Effect["kind"]> = Extract<Effect, { kind: Kind }>;

/**
 * Decodes an effect; throws if the text is not one. Most effects change a few facts, so these are checked by hand: the
 * full schema would take half as long as applying them.
 */
export function decodeEffect(body: string): Effect {
  const value: unknown = JSON.parse(body);
  if (isFactsEffect(value)) return value;
  const parsed = effect.safeParse(value);
  if (!parsed.success) throw new Error(`an event of the log is not understood: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

/** Accepts nothing that the schema would refuse. */
function isFactsEffect(value: unknown): value is EffectOf<"facts"> {
  const named = typeof value === "object" && value !== null && "request" in value;
  if (named && !(typeof value.request === "string" && /^[0-9a-f]{32}$/.test(value.request))) return false;
  if (!hasKeys(value, named ? 4 : 3) || !("kind" in value) || value.kind !== "facts") return false;
  if (!("inserted" in value && "deleted" in value)) return false;
  return [value.inserted, value.deleted].every((facts) => Array.isArray(facts) && facts.every(isFact));
}

function isFact(value: unknown): boolean {
  if (!hasKeys(value, 2) || !("predicate" in value && "args" in value) || !isName(value.predicate)) return false;
  return Array.isArray(value.args) && value.args.length > 0 && value.args.every(isValue);
}

function isValue(value: unknown): boolean {
  return hasKeys(value, 2) && "type" in value && "id" in value && isName(value.type) && isName(value.id);
}

function isName(value: unknown): boolean {
  return typeof value === "string" && value.length > 0;
}

function hasKeys(value: unknown, count: number): value is object {
  return typeof value === "object" && value !== null && Object.keys(value).length === count;
}

export interface Event {
  /** The position in the log, from 1 without gaps. */
  readonly offset: number;
  /** The time of the commit on the primary, in ms since 1970. */
  readonly timeMs: number;
  /** The W3C trace context of the request that caused the event, if it was sampled. */
  readonly traceparent: string | null;
  readonly effect: Effect;
}

/** One element of `POST /api/batch`: facts to insert, or patterns of facts to delete. */
export type FactChange = { readonly inserts: readonly Fact[] } | { readonly deletes: readonly FactPattern[] };
