/**
 * Data bindings: which facts are rows of the application's database. YAML like that of Oso Cloud, with a `dialect`:
 *
 *   dialect: postgres
 *   facts:
 *     has_relation(Issue:_, parent, Repository:_):
 *       query: SELECT id, repository_id FROM issues
 *   sql_types:
 *     Issue: uuid
 */
import { predicateKey } from "../datalog/ir/program.ts";
import { parseYaml, YamlError } from "../runtime/yaml.ts";
import { AppError } from "../util/app-error.ts";
import { suggestion } from "../util/suggestion.ts";
import { clip } from "../util/text-length.ts";
import { type DialectName, dialectNames } from "./dialect-names.ts";
import { problemOfFixed } from "./column-values.ts";
import { checkQuery } from "./query-text.ts";
import { columnsOf, parseSignature, type Signature } from "./signature.ts";
import { isComparedAsText, sqlType, sqlTypeNames, type SqlType } from "./sql-types.ts";

export interface DataBindings {
  readonly dialect: DialectName;
  readonly bindings: readonly Binding[];
  /** The SQL type of the id columns of a Polar type. Ids of other types are compared as text. */
  readonly sqlTypes: ReadonlyMap<string, SqlType>;
  /** Whether the strings of the SQL are marks (`parameters.ts`). */
  readonly hasParameters?: boolean;
}

/** Each row of the query is a fact, unless one of its columns is NULL or no value of the type. */
export interface Binding {
  readonly signature: Signature;
  /** A predicate key. */
  readonly predicate: string;
  readonly types: readonly string[];
  /** Without a semicolon. Its columns are the `_` of the signature, in order. */
  readonly query: string;
}

export interface BindingLimits {
  readonly bindingsBytesMax: number;
  readonly bindingsMax: number;
  readonly identifierBytesMax: number;
}

const argumentsMax = 5;

/** Throws `invalid_request`, which names the place in the bindings and the remedy. */
export function parseBindings(text: string, limits: BindingLimits): DataBindings {
  if (Buffer.byteLength(text) > limits.bindingsBytesMax)
    refuse(`they have more than ${limits.bindingsBytesMax} bytes: bind fewer signatures`);
  const content = groupOf(yaml(text), "they", ["dialect", "facts", "sql_types"]);
  const dialect = dialectOf(content.get("dialect"));
  const facts = [...groupOf(content.get("facts") ?? null, "`facts`")];
  if (facts.length === 0) refuse("`facts` is missing or empty: name the facts that come from your database");
  if (facts.length > limits.bindingsMax)
    refuse(`\`facts\` has more than ${limits.bindingsMax} signatures: store more of the facts centrally`);
  const bindings = facts.map(([signature, entry]) => bindingOf(signature, entry, dialect, limits));
  const sqlTypes = new Map(
    [...groupOf(content.get("sql_types") ?? null, "`sql_types`")].flatMap(([type, written]) => {
      const found = sqlTypeOf(type, written, dialect);
      return found === undefined ? [] : [[type, found] as const];
    }),
  );
  return { dialect, bindings, sqlTypes };
}

function yaml(text: string): unknown {
  try {
    return parseYaml(text);
  } catch (error) {
    if (error instanceof YamlError) return refuse(`line ${error.line}, column ${error.column}: ${error.message}`);
    throw error;
  }
}

function dialectOf(written: unknown): DialectName {
  if (written === undefined || written === null) return "postgres";
  const found = dialectNames.find((name) => name === written);
  return found ?? refuse(`\`dialect\` is ${shown(written)}; it must be \`postgres\`, \`mysql\` or \`sqlite\``);
}

function bindingOf(text: string, entry: unknown, dialect: DialectName, limits: BindingLimits): Binding {
  const place = `\`facts.${clip(text, 120)}\``;
  const signature = parseSignature(text);
  if (signature === undefined)
    return refuse(`${place} is not a signature, such as \`has_relation(Issue:_, parent, Repository:_)\``);
  const { predicate, args } = signature;
  if (args.length > argumentsMax) refuse(`${place} has ${args.length} arguments; facts hold 1 to ${argumentsMax}`);
  if (columnsOf(signature) === 0)
    refuse(`${place} has no \`_\`, which takes a column: store a fact without columns centrally`);
  for (const [index, { type, id }] of args.entries()) {
    const problem = problemOfArgument(type, id, limits);
    if (problem !== undefined) refuse(`${place}: argument ${index + 1} ${problem}`);
  }
  const written = groupOf(entry, place, ["query"]).get("query");
  if (typeof written !== "string")
    return refuse(`${place} needs \`query\`: a SELECT with ${columnsOf(signature)} columns, one for each \`_\``);
  const checked = checkQuery(written, dialect);
  if ("problem" in checked) return refuse(`${place}: \`query\` ${checked.problem}`);
  return {
    signature,
    predicate: predicateKey(predicate, args.length),
    types: args.map(({ type }) => type),
    query: checked.query,
  };
}

function problemOfArgument(type: string, id: string | null, limits: BindingLimits): string | undefined {
  if (type === "Actor" || type === "Resource")
    return `has the abstract type \`${type}\`: bind each concrete type with a signature of its own`;
  if (id === null) return undefined;
  if (!id.isWellFormed() || id.includes("\0")) return "has an id with a character that no fact can have";
  if (Buffer.byteLength(id) > limits.identifierBytesMax)
    return `has an id of more than ${limits.identifierBytesMax} bytes`;
  return problemOfFixed(type, id);
}

/** Undefined for a type whose ids are compared as texts. */
function sqlTypeOf(type: string, written: unknown, dialect: DialectName): SqlType | undefined {
  const place = `\`sql_types.${clip(type, 120)}\``;
  const found = typeof written === "string" ? sqlType(dialect, written) : undefined;
  if (found !== undefined) return found;
  if (typeof written === "string" && isComparedAsText(written)) return undefined;
  const names = sqlTypeNames(dialect).map((name) => `\`${name}\``);
  return refuse(
    `${place} is ${shown(written)}; with the dialect \`${dialect}\` it must be one of ${names.join(", ")}. Leave it out to compare ids as text`,
  );
}

/** The entries of a YAML mapping. `known` are the only names that it may have. */
function groupOf(value: unknown, place: string, known?: readonly string[]): Map<string, unknown> {
  if (value === null && known === undefined) return new Map();
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse(`${place} must be a group of \`name: value\` lines`);
  const entries = new Map(Object.entries(value));
  for (const name of entries.keys()) {
    if (!known || known.includes(name)) continue;
    const similar = suggestion(name, known);
    const remedy = similar === undefined ? `known are ${known.join(", ")}` : `did you mean \`${similar}\`?`;
    refuse(`${place} must not have \`${clip(name, 60)}\`: ${remedy}`);
  }
  return entries;
}

function shown(value: unknown): string {
  return value === undefined || value === null ? "empty" : `\`${clip(JSON.stringify(value), 60)}\``;
}

function refuse(problem: string): never {
  throw new AppError("invalid_request", `the data bindings are invalid: ${problem}`);
}
