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
  /** Missing if the log leaves ids out. */
  readonly ids?: readonly string[] | null;
  readonly hashes?: readonly string[];
}

interface Pattern {
  readonly type?: string | null;
  readonly id?: string | null;
  readonly hash?: string;
}

type ValueText = (type: string, id: string) => string;

/** One text for each call; undefined if the question is no query, or too long for the log. */
export function queryCalls(question: object | null, textOf: ValueText = valueText): string[] | undefined {
  const { calls, variables, fact } = (question ?? {}) as LoggedQuery;
  if (fact !== undefined) return [`${fact.predicate}(${fact.args.map((arg) => patternText(arg, textOf)).join(", ")})`];
  if (calls === undefined || variables === undefined) return undefined;
  const known = new Map(variables);
  return calls.map(({ predicate, variables: names }) => {
    const args = names.map((name) => argumentText(name, known.get(name), textOf));
    return `${predicate}(${args.join(", ")})`;
  });
}

/**
 * The resources of `authorize_resources`, the first ones of many; undefined for other kinds. `textOf` is the text of one.
 */
export function askedResources<V>(question: object | null, textOf: (resource: V) => string): string | undefined {
  const { resources } = (question ?? {}) as { readonly resources?: readonly V[] };
  if (resources === undefined) return undefined;
  const more = resources.length - listedMax;
  const listed = resources.slice(0, listedMax).map(textOf).join(", ");
  return more > 0 ? `${listed}, … and ${more} more` : listed;
}

const listedMax = 3;

function argumentText(name: string, constraint: Constraint | undefined, textOf: ValueText): string {
  if (constraint === undefined) return name;
  const { type, ids, hashes } = constraint;
  if (ids === null) return `${name}: ${type}`;
  const values = ids?.map((id) => textOf(type, id)) ?? hashes?.map((hash) => hashText(type, hash)) ?? [`${type}:_`];
  return values.length === 1 ? values.join("") : `${name} in [${values.join(", ")}]`;
}

function patternText(pattern: Pattern | null, textOf: ValueText): string {
  const { type = null, id = null, hash } = pattern ?? {};
  if (type === null) return "_";
  if (id !== null) return textOf(type, id);
  return hash === undefined ? `${type}:_` : hashText(type, hash);
}

function hashText(type: string, hash: string): string {
  return `${type}:#${hash}`;
}

/** `User:ann`, `User:"a b"`, `"read"`, `5`. */
function valueText(type: string, id: string): string {
  if (type === "String") return JSON.stringify(id);
  if (type === "Integer" || type === "Boolean") return id;
  const isPlain = /^(?!_$|:)[^\s",(){}]+$/u.test(id) && printable(id) === id;
  return `${type}:${isPlain ? id : JSON.stringify(id)}`;
}
