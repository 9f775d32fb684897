/**
 * The text of a logged query, on the command line and in the web console: `allow(User:ann, "read", repository: Repository)`.
 * Pure.
 */
import { printable } from "./printable.ts";

/** What the decision log has of `evaluate_query`, or of `query`, beside what all kinds share. */
interface LoggedQuery {
  readonly calls?: readonly { readonly predicate: string; readonly variables: readonly string[] }[];
  /** Each with its name. Without ids a variable stands for all values of its type. */
  readonly variables?: readonly (readonly [string, Constraint])[];
  readonly fact?: { readonly predicate: string; readonly args: readonly (Pattern | null)[] };
}

interface Constraint {
  readonly type: string;
  readonly ids: readonly string[] | null;
}

interface Pattern {
  readonly type?: string | null;
  readonly id?: string | null;
}

/** One text for each call; undefined if the question is no query, or the log left a part of it out. */
export function queryCalls(question: object | null): string[] | undefined {
  const { calls, variables, fact } = (question ?? {}) as LoggedQuery;
  if (fact !== undefined) return [`${fact.predicate}(${fact.args.map(patternText).join(", ")})`];
  if (calls === undefined || variables === undefined) return undefined;
  const known = new Map(variables);
  return calls.map(({ predicate, variables: names }) => {
    const args = names.map((name) => argumentText(name, known.get(name)));
    return `${predicate}(${args.join(", ")})`;
  });
}

function argumentText(name: string, constraint: Constraint | undefined): string {
  if (constraint === undefined) return name;
  const { type, ids } = constraint;
  if (ids === null) return `${name}: ${type}`;
  const [only, ...others] = ids;
  if (only !== undefined && others.length === 0) return valueText(type, only);
  return `${name} in [${ids.map((id) => valueText(type, id)).join(", ")}]`;
}

function patternText(pattern: Pattern | null): string {
  const { type = null, id = null } = pattern ?? {};
  if (type === null) return "_";
  return id === null ? `${type}:_` : valueText(type, id);
}

/** `User:ann`, `User:"a b"`, `"read"`, `5`. */
function valueText(type: string, id: string): string {
  if (type === "String") return JSON.stringify(id);
  if (type === "Integer" || type === "Boolean") return id;
  const isPlain = /^(?!_$|:)[^\s",(){}]+$/u.test(id) && printable(id) === id;
  return `${type}:${isPlain ? id : JSON.stringify(id)}`;
}
