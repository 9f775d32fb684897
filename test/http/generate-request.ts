/**
 * Random requests from the OpenAPI document: valid ones, and nearly valid ones, with a missing member, a wrong type, an
 * extra member, a strange text, a huge list or deep nesting, or with broken JSON.
 */
import { below, pick, type Random } from "../../scripts/benchmark/random.ts";
import { document, type NamedOperation } from "./documented.ts";

export interface GeneratedRequest {
  /** With the query string. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The text of the body; undefined if the operation has none. */
  readonly body: string | undefined;
}

/** What makes valid requests mean something. */
export interface Vocabulary {
  /** The texts that a member should have, by its name. */
  readonly words: Readonly<Record<string, readonly string[]>>;
  /** Values of named schemas. */
  readonly samples: Readonly<Record<string, readonly unknown[]>>;
}

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema | false;
  readonly prefixItems?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly required?: readonly string[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
}

export function generateRequest(
  next: Random,
  operation: NamedOperation,
  vocabulary: Vocabulary,
  isValid: boolean,
): GeneratedRequest {
  const { path, parameters = [], requestBody } = operation;
  const query = new URLSearchParams();
  const headers: Record<string, string> = {};
  let target = path;
  for (const { in: place, name, required = false, schema } of parameters) {
    if (!required && next() < 0.7) continue;
    const word = String(generate(next, schema, place === "path" ? `{${name}}` : name, vocabulary));
    const text = isValid || next() < 0.7 ? word : pick(next, strangeTexts);
    if (place === "path")
      target = target.replace(`{${name}}`, isValid ? encodeURIComponent(text) : pathPart(next, text));
    if (place === "query" && (isValid || next() < 0.9)) query.append(name, text);
    if (place === "header" && /^[ -~]*$/.test(text)) headers[name] = text;
  }
  if (!isValid && next() < 0.2) query.append(pick(next, ["x", "args.7.id", "__proto__", ""]), pick(next, strangeTexts));
  const search = query.size === 0 ? "" : `?${query}`;
  return { path: target + search, headers, body: bodyOf(next, requestBody, vocabulary, isValid) };
}

function bodyOf(next: Random, described: NamedOperation["requestBody"], vocabulary: Vocabulary, isValid: boolean) {
  if (described === undefined) return undefined;
  const value = generate(next, described.content["application/json"].schema, "", vocabulary);
  if (isValid) return JSON.stringify(value);
  const changed = next() < 0.85 ? mutate(next, value) : value;
  const text = JSON.stringify(changed) ?? "";
  return next() < 0.2 ? breakText(next, text) : text;
}

const pathPart = (next: Random, text: string): string =>
  pick(next, [encodeURIComponent(text.toWellFormed().slice(0, 500)), "%ff", "%00", "..%2f..", "é"]) || "x";

const resolve = (schema: Schema): Schema => {
  if (schema.$ref === undefined) return schema;
  return document.components?.schemas?.[schema.$ref.split("/").at(-1) ?? ""] as Schema;
};

/** A value that matches the schema. `name` is that of the member, which selects the words for a string. */
function generate(next: Random, given: Schema, name: string, vocabulary: Vocabulary): unknown {
  const samples = vocabulary.samples[given.$ref?.split("/").at(-1) ?? ""];
  if (samples !== undefined && next() < 0.7) return pick(next, samples);
  const schema = resolve(given);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return pick(next, schema.enum);
  if (schema.anyOf !== undefined) return generate(next, pick(next, schema.anyOf), name, vocabulary);
  // Of an object with properties, `oneOf` says which are required.
  if (schema.oneOf !== undefined && schema.properties === undefined)
    return generate(next, pick(next, schema.oneOf), name, vocabulary);
  // Only free-form objects may be null in this way.
  if (Array.isArray(schema.type)) return pick(next, [null, {}, { role: "admin", level: 3, nested: { open: true } }]);
  switch (schema.type) {
    case "object":
      return generateObject(next, schema, vocabulary);
    case "array":
      return generateList(next, schema, name, vocabulary);
    case "string":
      return next() < 0.02 ? "é🙂\u0000'%" : pick(next, vocabulary.words[name] ?? ["x", "y"]);
    case "integer":
    case "number":
      return (schema.minimum ?? 0) + pick(next, [0, 0, 0, 1, 10, 1000]);
    case "boolean":
      return next() < 0.5;
    default:
      return null;
  }
}

function generateObject(next: Random, schema: Schema, vocabulary: Vocabulary): object {
  const { properties = {}, required = [], oneOf, additionalProperties } = schema;
  if (Object.keys(properties).length === 0 && additionalProperties) {
    const entries = (vocabulary.words["variable"] ?? []).map((name) => [
      name,
      generate(next, additionalProperties, name, vocabulary),
    ]);
    return Object.fromEntries(entries);
  }
  const chosen = oneOf === undefined ? undefined : pick(next, oneOf).required;
  const has = (name: string): boolean => {
    if (required.includes(name)) return true;
    const isChoice = oneOf?.some((choice) => choice.required?.includes(name)) ?? false;
    return isChoice ? chosen?.includes(name) === true : next() < 0.3;
  };
  return Object.fromEntries(
    Object.entries(properties)
      .filter(([name]) => has(name))
      .map(([name, member]) => [name, generate(next, member, name, vocabulary)]),
  );
}

function generateList(next: Random, schema: Schema, name: string, vocabulary: Vocabulary): unknown[] {
  const { items, prefixItems = [], minItems = 0, maxItems = 4 } = schema;
  const first = prefixItems.map((item, index) =>
    generate(next, item, index === 0 ? "predicate" : "variable", vocabulary),
  );
  if (!items) return first;
  const length = Math.min(maxItems, Math.max(minItems, below(next, 4)));
  return [...first, ...Array.from({ length }, () => generate(next, items, name, vocabulary))];
}

export const strangeTexts = [
  "",
  " ",
  "*",
  "null",
  "-1",
  "1e999",
  "\u0000",
  "\u202e",
  "🙂",
  "'; DROP TABLE fact_1; --",
  "__proto__",
  "%",
  "../../etc/passwd",
  "x".repeat(513),
  "é".repeat(400),
  "y".repeat(20_000),
];

function strangeValue(next: Random): unknown {
  return pick<() => unknown>(next, [
    () => null,
    () => pick(next, strangeTexts),
    () => pick(next, [0, -1, 1.5, 1e300, 2 ** 53]),
    () => next() < 0.5,
    () => [],
    () => ({}),
    () => [[[null]]],
    () => ({ type: "User", id: "alice" }),
    () => Array.from({ length: pick(next, [6, 101, 1001]) }, () => "x"),
    () => nested(pick(next, [10, 1000])),
  ])();
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

/** A copy with one or two parts changed. */
function mutate(next: Random, value: unknown): unknown {
  const changed = mutateOnce(next, value);
  return next() < 0.3 ? mutateOnce(next, changed) : changed;
}

function mutateOnce(next: Random, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0 || next() < 0.15)
    return strangeValue(next);
  const [name = "", member] = pick(next, Object.entries(value));
  const isList = Array.isArray(value);
  if (next() < 0.5) return put(value, name, mutateOnce(next, member));
  switch (below(next, 4)) {
    case 0:
      return isList ? value.toSpliced(Number(name), 1) : put(value, name, undefined);
    case 1:
      return isList
        ? Array.from({ length: pick(next, [2, 6, 101, 1001]) }, () => member)
        : put(value, pick(next, ["extra", "__proto__", "constructor", ""]), member);
    default:
      return put(value, name, strangeValue(next));
  }
}

/** A copy with a member. JSON leaves members out that are undefined. */
function put(value: object, name: string, member: unknown): unknown {
  if (Array.isArray(value)) return value.with(Number(name), member);
  const copy = Object.assign(Object.create(null) as object, value);
  return Object.defineProperty(copy, name, { value: member, enumerable: true });
}

/** Text that is nearly JSON. */
function breakText(next: Random, text: string): string {
  const at = below(next, text.length + 1);
  return pick(next, [
    text.slice(0, at),
    text.slice(0, at) + text.slice(at + 1),
    `${text.slice(0, at)}\u0000${text.slice(at)}`,
    `\uFEFF${text}`,
    `${text}}`,
    `${text}${text}`,
    text.replace('"', String.raw`"\ud800`),
    text.replace(/"[^"]*"/, "1e999"),
    text.replace("{", '{"__proto__":{"admin":true},'),
    "",
    "[".repeat(50_000),
    `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`,
  ]);
}
