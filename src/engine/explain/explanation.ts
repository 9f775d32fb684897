/**
 * The JSON schema of an explanation, which `POST /api/explain` answers and `ostiary explain --json` prints. An
 * explanation is a function of the question, the state of the data and, if rules compare facts with it, the time: the
 * same three give the same bytes.
 */
import { z } from "zod";
import { dialectNames } from "../../local/dialect-names.ts";

/**
 * `has_role(User{"ann"}, "member", Org{"acme"})`. The id `*` stands for every value of the type, the id `null` for any
 * value that satisfies the call.
 */
const call = z.object({
  /** In Polar syntax. */
  text: z.string(),
  predicate: z.string(),
  args: z.array(z.object({ type: z.string().nullable(), id: z.string().nullable() })),
});
export type ExplainedCall = z.output<typeof call>;

/** The text of a rule on one line, truncated if it is long, with its position; lines and columns count from 1. */
const rule = z.object({ text: z.string(), file: z.string(), line: z.int(), column: z.int() });
export type ExplainedRule = z.output<typeof rule>;

/** The origin of a fact: the database, the request, or the text of the policy. */
const origin = z.enum(["stored", "context", "policy"]);
export type FactOrigin = z.output<typeof origin>;

const step = z
  .discriminatedUnion("kind", [
    /** `rule` is the text of a fact that the policy contains. */
    z.object({ kind: z.literal("fact"), fact: call, from: origin, rule: rule.nullable() }),
    z.object({
      kind: z.literal("rule"),
      conclusion: call,
      /** `null` for the default `allow` rules, which no text contains. */
      rule: rule.nullable(),
      /**
       * How often the rule was applied in a row. If a rule follows a path of facts, `steps` are the steps of all its
       * applications; those of the last application come last.
       */
      times: z.int(),
      /** The conditions of the rule, in their order. */
      get steps(): z.ZodArray<typeof step> {
        return z.array(step);
      },
    }),
    /** A condition that holds, such as `not is_banned(User{"ann"})`. */
    z.object({ kind: z.literal("condition"), text: z.string() }),
    /** The steps of this conclusion appear earlier in the explanation. */
    z.object({ kind: z.literal("again"), conclusion: call }),
    /** The steps of this conclusion are left out: see `truncated`. */
    z.object({ kind: z.literal("cut"), conclusion: call }),
  ])
  .meta({ id: "ExplanationStep" });
export type ExplainedStep = z.output<typeof step>;

/**
 * A condition of an attempt that holds. `derived`: by rules, not by a fact. `many`: more facts satisfy it than were
 * tried.
 */
const held = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("call"), call, from: z.enum([...origin.options, "derived", "many"]) }),
  z.object({ kind: z.literal("condition"), text: z.string() }),
]);
export type HeldCondition = z.output<typeof held>;

const attempt = z.object({
  /** `null` for the default `allow` rules, which no text contains. */
  rule: rule.nullable(),
  held: z.array(held),
  get missing(): z.ZodArray<typeof missing> {
    return z.array(missing);
  },
});
export type FailedAttempt = z.output<typeof attempt>;

/** A call that nothing satisfies. */
const miss = z.object({
  call,
  /** Whether the policy accepts such a fact. */
  storable: z.boolean(),
  /** The failed attempts to derive it; those with the fewest missing conditions come first. */
  attempts: z.array(attempt),
  /** Whether there are more attempts than these. */
  more: z.boolean(),
  /** Whether its attempts appear earlier in the explanation. */
  again: z.boolean(),
  /** A String that is similar to an argument and would fit. */
  did_you_mean: z.string().nullable(),
});
export type FailedCall = z.output<typeof miss>;

const missing = z
  .discriminatedUnion("kind", [
    z.object({ kind: z.literal("call"), ...miss.shape }),
    /** A condition that fails, such as `5 < 3`; for a `not`, `because` says what is true although it must not be. */
    z.object({ kind: z.literal("test"), text: z.string(), because: z.string().nullable() }),
  ])
  .meta({ id: "MissingCondition" });
export type MissingCondition = z.output<typeof missing>;

/** The limit that was reached; `nothing` if the search found nothing without reaching a limit. */
const cutReason = z.enum(["steps", "time", "facts", "entries", "depth", "nothing"]);
export type TruncationReason = z.output<typeof cutReason>;

/** An argument of a fact that is a row. `column` is the column of `rows_sql` with its id; `null` if `id` is fixed. */
const rowArgument = z.object({ type: z.string(), id: z.string().nullable(), column: z.string().nullable() });

/** A row of the application's database that an alternative needs. */
const explainedRow = z.object({
  /** As the data bindings have it. */
  signature: z.string(),
  predicate: z.string(),
  args: z.array(rowArgument),
});

/** One way in which rows can allow the action. */
const alternative = z
  .object({
    /** The rules that lead to it, outer ones first; without those that only pass an answer on. */
    rules: z.array(rule),
    /** SQL without rows as a result: whether rows allow the action in this way. */
    condition: z.string(),
    /** The rows that have to exist together, besides those of `not` and of recursion. */
    rows: z.array(explainedRow),
    /** SQL that selects them, one combination in each row; `null` if there are none to name. */
    rows_sql: z.string().nullable(),
  })
  .meta({ id: "LocalAlternative" });
export type LocalAlternative = z.output<typeof alternative>;

/** What the rows of the application's database add to the decision. */
const localExplanation = z
  .object({
    dialect: z.enum(dialectNames),
    /** `depends`: the rows decide. Otherwise no row can change the decision. */
    decision: z.enum(["allow", "deny", "depends"]),
    /** As `POST /api/authorize_query` answers: one row with the boolean column `allowed`. */
    sql: z.string(),
    /** Empty unless `decision` is `depends`. */
    alternatives: z.array(alternative),
    /** Whether there are more alternatives than these. */
    more: z.boolean(),
  })
  .meta({ id: "LocalExplanation" });
export type LocalExplanation = z.output<typeof localExplanation>;

export const explanationSchema = z.object({
  /** The answer of `POST /api/authorize` to the same question in the same state. */
  allowed: z.boolean(),
  /** `allow(actor, action, resource)`. */
  question: call,
  /** The active policy; `null` if there is none: then everything is denied. A policy that is not stored has the id 0. */
  policy: z.object({ id: z.int(), filename: z.string() }).nullable(),
  /** Why it is allowed; `null` if it is denied, or if the search was truncated. */
  derivation: step.nullable(),
  /** Why it is denied; `null` if it is allowed. */
  denial: miss.nullable(),
  /**
   * For a denial: names in the question that the policy does not have, with the most similar names that it has. Nodes
   * of earlier versions do not send it.
   */
  unknown: z.array(z.string()).default([]),
  /** Only for a question with data bindings. The other members explain the decision without rows. */
  local: localExplanation.optional(),
  /** `null` if the explanation is complete. */
  truncated: z.object({ reason: cutReason, message: z.string() }).nullable(),
});
export type Explanation = z.output<typeof explanationSchema>;
