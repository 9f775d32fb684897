/** A logged decision as the node sends it, and its question as a text and for the screen that asks again. Pure. */

/** An id that the node left out, or only hashed, is missing. */
export interface LoggedValue {
  readonly type: string;
  readonly id?: string;
  readonly hash?: string;
}

export interface LoggedFact {
  readonly predicate: string;
  readonly args: readonly LoggedValue[];
}

export interface LoggedDecision {
  readonly id: string;
  readonly time: string;
  readonly kind: string;
  /** Null for a list. */
  readonly result: "allow" | "deny" | null;
  /** How many entries a list has. */
  readonly count: number | null;
  readonly actor: LoggedValue | null;
  readonly action: string | null;
  readonly resource: LoggedValue | null;
  readonly context_facts: readonly LoggedFact[];
  readonly question: Readonly<Record<string, unknown>> | null;
  readonly epoch: string;
  readonly offset: number;
  readonly policy: number | null;
  readonly cached: boolean;
  readonly duration_us: number;
  readonly key: string | null;
  readonly request_id: string | null;
  readonly trace_id: string | null;
  /** What the node left out or hashed. */
  readonly redacted: readonly string[];
  /** How many decisions before this one were not logged. */
  readonly dropped_before: number;
}

/** `User:ann`; `User:_` for all of a type. */
export function valueText(value: LoggedValue | null): string {
  if (value === null) return "_";
  if (value.id !== undefined) return `${value.type}:${value.id}`;
  return value.hash === undefined ? `${value.type}:_` : `${value.type}:#${value.hash}`;
}

/** `has_role(User:ann, String:reader, Repository:x)` */
export function factText({ predicate, args }: LoggedFact): string {
  return `${predicate}(${args.map(valueText).join(", ")})`;
}

/** `User:ann read Repository:x`; other kinds than `authorize` come first. */
export function questionText({ kind, actor, action, resource }: LoggedDecision): string {
  const asked = [valueText(actor), action ?? "_", valueText(resource)].join(" ");
  return kind === "authorize" ? asked : `${kind} ${asked}`;
}

/** The parts of the question that the screen Ask needs, by kind; `type` is only the type of a value. */
const asked: Readonly<
  Record<string, { readonly form: string; readonly needs: readonly ("actor" | "action" | "resource")[] }>
> = {
  authorize: { form: "authorize", needs: ["actor", "action", "resource"] },
  list: { form: "list", needs: ["actor", "action", "resource"] },
  list_actors: { form: "who-can", needs: ["actor", "action", "resource"] },
  actions: { form: "actions", needs: ["actor", "resource"] },
};

/** A question in the screen Ask. */
export interface Question {
  readonly form: string;
  readonly query: Readonly<Record<string, string>>;
}

/** The same question, for now; undefined if the log does not have all of it. */
export function questionToAsk(decision: LoggedDecision): Question | undefined {
  const { kind, actor, action, resource, context_facts: context } = decision;
  const form = asked[kind];
  if (form === undefined || !isWhole(decision)) return undefined;
  const parts = { actor: partText(actor), action: action ?? undefined, resource: partText(resource) };
  const query: Record<string, string> = {};
  for (const name of form.needs) {
    const text = parts[name];
    if (text === undefined) return undefined;
    query[name] = text;
  }
  if (context.length > 0) query["context"] = JSON.stringify(context);
  return { form: form.form, query };
}

/** Whether nothing of the question is left out or hashed. */
export function isWhole({ redacted }: LoggedDecision): boolean {
  return !redacted.some((name) => ["actor", "resource", "context", "question"].includes(name));
}

/** `User:ann`, or the type alone if the question is about all of it. */
function partText(value: LoggedValue | null): string | undefined {
  return value === null ? undefined : value.id === undefined ? value.type : `${value.type}:${value.id}`;
}
