/**
 * An explanation as JSON: what `POST /api/explain` answers and `ostiary explain --json` prints. It is a function of the question, of the state of
 * the data and, where rules compare with it, of the clock: the same three give the same bytes.
 */
import { z } from "zod";

/** `has_role(User{"ann"}, "member", Org{"acme"})`. As an id, `*` is every value of the type, `null` any value that would do. */
const call = z.object({
  /** As Polar would have it. */
  text: z.string(),
  predicate: z.string(),
  args: z.array(z.object({ type: z.string().nullable(), id: z.string().nullable() })),
});
export type ExplainedCall = z.output<typeof call>;

/** A rule as it is written, on one line, cut where it is long, and where its text begins; lines and columns count from 1. */
const rule = z.object({ text: z.string(), file: z.string(), line: z.int(), column: z.int() });
export type ExplainedRule = z.output<typeof rule>;

/** Where a fact is from: the database, the request, the policy's own text. */
const origin = z.enum(["stored", "context", "policy"]);
export type FactOrigin = z.output<typeof origin>;

const step = z.discriminatedUnion("kind", [
  /** `rule` is the text of a fact of the policy. */
  z.object({ kind: z.literal("fact"), fact: call, from: origin, rule: rule.nullable() }),
  z.object({
    kind: z.literal("rule"),
    conclusion: call,
    /** `null` for the `allow` rules that are there without being written. */
    rule: rule.nullable(),
    /** How often in a row: where a rule walks along a path of facts, `steps` are those of all its applications, the last one's last. */
    times: z.int(),
    /** What the rule asks for, in its order. */
    get steps(): z.ZodType<ExplainedStep[]> {
      return z.array(step);
    },
  }),
  /** A test that held, such as `not is_banned(User{"ann"})`. */
  z.object({ kind: z.literal("condition"), text: z.string() }),
  /** Its steps were told before. */
  z.object({ kind: z.literal("again"), conclusion: call }),
  /** Its steps are not told: see `truncated`. */
  z.object({ kind: z.literal("cut"), conclusion: call }),
]);
export type ExplainedStep =
  | { kind: "fact"; fact: ExplainedCall; from: FactOrigin; rule: ExplainedRule | null }
  | { kind: "rule"; conclusion: ExplainedCall; rule: ExplainedRule | null; times: number; steps: ExplainedStep[] }
  | { kind: "condition"; text: string }
  | { kind: "again"; conclusion: ExplainedCall }
  | { kind: "cut"; conclusion: ExplainedCall };

/** A condition of an attempt that held. `derived`: by rules, not by a fact. `many`: more facts make it true than were looked at. */
const held = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("call"), call, from: z.enum([...origin.options, "derived", "many"]) }),
  z.object({ kind: z.literal("condition"), text: z.string() }),
]);
export type HeldCondition = z.output<typeof held>;

const attempt = z.object({
  /** `null` for the `allow` rules that are there without being written. */
  rule: rule.nullable(),
  held: z.array(held),
  get missing(): z.ZodType<MissingCondition[]> {
    return z.array(missing);
  },
});
export interface FailedAttempt {
  rule: ExplainedRule | null;
  held: HeldCondition[];
  missing: MissingCondition[];
}

/** A call that nothing makes true. */
const miss = z.object({
  call,
  /** Whether a fact like this could be stored. */
  storable: z.boolean(),
  /** The rules that came nearest to it, nearest first. */
  attempts: z.array(attempt),
  /** There are more attempts than these. */
  more: z.boolean(),
  /** Its attempts were told before. */
  again: z.boolean(),
  /** A String in place of one that looks like a slip. */
  did_you_mean: z.string().nullable(),
});
export interface FailedCall {
  call: ExplainedCall;
  storable: boolean;
  attempts: FailedAttempt[];
  more: boolean;
  again: boolean;
  did_you_mean: string | null;
}

const missing = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("call"), ...miss.shape }),
  /** A test that failed, such as `5 < 3`; of a `not`, what is true although it must not be. */
  z.object({ kind: z.literal("test"), text: z.string(), because: z.string().nullable() }),
]);
export type MissingCondition = ({ kind: "call" } & FailedCall) | { kind: "test"; text: string; because: string | null };

/** Which bound it met; `nothing` where the search found nothing although it met none. */
const cutReason = z.enum(["steps", "time", "facts", "entries", "depth", "nothing"]);
export type TruncationReason = z.output<typeof cutReason>;

export const explanationSchema = z.object({
  /** What `POST /api/authorize` answers to the same question in the same state. */
  allowed: z.boolean(),
  /** `allow(actor, action, resource)`. */
  question: call,
  /** The active policy; `null` where there is none, and everything is denied. */
  policy: z.object({ id: z.int(), filename: z.string() }).nullable(),
  /** Why it is allowed; `null` where it is not, or where the search for it was cut. */
  derivation: step.nullable(),
  /** Why it is denied; `null` where it is not. */
  denial: miss.nullable(),
  /** Of a denial: what the question names and the policy does not have, with what it has instead. Nodes of earlier versions do not say it. */
  unknown: z.array(z.string()).default([]),
  /** `null` where the explanation is whole. */
  truncated: z.object({ reason: cutReason, message: z.string() }).nullable(),
});
export type Explanation = z.output<typeof explanationSchema>;
