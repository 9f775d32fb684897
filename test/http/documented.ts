/**
 * Compares responses with the OpenAPI document: the status is documented for the operation, the body matches its schema,
 * and the code of an error is one of those that the document lists.
 */
import { expect } from "bun:test";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { defaultLimits } from "../../src/config/limits.ts";
import { allEndpoints } from "../../src/features/all-endpoints.ts";
import { openApiDocument } from "../../src/http/openapi-document.ts";
import { must } from "../../src/util/assert.ts";

export const document = openApiDocument(allEndpoints, defaultLimits);

interface DocumentedResponse {
  readonly $ref?: string;
  readonly content?: Readonly<Record<string, unknown>>;
  readonly "x-codes"?: readonly string[];
}

export interface DocumentedOperation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly required?: boolean;
    readonly schema: object;
  }[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: object } } };
  readonly responses: Readonly<Record<string, DocumentedResponse>>;
  readonly "x-development"?: boolean;
  readonly security?: readonly { readonly apiKey: readonly [string] }[];
}

type DocumentedParameter = NonNullable<DocumentedOperation["parameters"]>[number];

function resolveParameter(given: DocumentedParameter | { readonly $ref: string }): DocumentedParameter {
  if (!("$ref" in given)) return given;
  return must(document.components?.parameters?.[given.$ref.split("/").at(-1) ?? ""]) as DocumentedParameter;
}

/** An operation with its method in lower case and its path as in the document. */
export interface NamedOperation extends DocumentedOperation {
  readonly method: string;
  readonly path: string;
}

export const operations: readonly NamedOperation[] = Object.entries(must(document.paths)).flatMap(([path, item]) =>
  Object.entries(item as Record<string, DocumentedOperation>).map(([method, operation]) => ({
    ...operation,
    parameters: operation.parameters?.map(resolveParameter) ?? [],
    method,
    path,
  })),
);

/** Whether the body may have members that a node does not know, because Oso Cloud's clients or AuthZEN define it. */
export function ignoresUnknownMembers({ operationId, tags: [tag = ""] }: NamedOperation): boolean {
  const ofOthers = ["questions", "local", "authzen", "parity", "facts", "old"].includes(tag);
  return ofOthers && !["putBindings", "deleteBindings", "clearData"].includes(operationId);
}

const patterns = operations.map((operation) => ({
  operation,
  pattern: new RegExp(`^${operation.path.replaceAll(".", String.raw`\.`).replaceAll(/\{\w+\}/g, "[^/]+")}$`),
}));

/** The operation of a request; undefined for paths and methods that the document does not have. */
export function operationOf(method: string, path: string): NamedOperation | undefined {
  const wanted = method === "HEAD" ? "get" : method.toLowerCase();
  const [pathname = ""] = path.replaceAll(/\/{2,}/g, "/").split("?");
  return patterns.find(({ operation, pattern }) => operation.method === wanted && pattern.test(pathname))?.operation;
}

const base = "https://ostiary.test/openapi.json";
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false });
ajv.addSchema({ ...document, $id: base });
const validators = new Map<string, ValidateFunction>();

function validatorAt(pointer: string): ValidateFunction {
  const known = validators.get(pointer) ?? must(ajv.compile({ $ref: `${base}#${pointer}` }));
  validators.set(pointer, known);
  return known;
}

const pointerOf = (...parts: readonly string[]): string =>
  `/${parts.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/")}`;

/** What is wrong with a response to `operation`; undefined if it is as documented. `text` is its body. */
export function undocumentedIn(
  { method, path, responses }: NamedOperation,
  { status, type, text }: { readonly status: number; readonly type: string; readonly text: string },
): string | undefined {
  const named = responses[status];
  if (named === undefined) return `${method} ${path}: ${status} is not documented: ${text.slice(0, 300)}`;
  const name = named.$ref?.split("/").at(-1);
  const found = name === undefined ? named : (document.components?.responses?.[name] as DocumentedResponse);
  const [media = ""] = type.split(";");
  if (found.content === undefined) return text === "" ? undefined : `${method} ${path}: ${status} has a body`;
  if (!(media in found.content)) return `${method} ${path}: ${status} has the type \`${type}\``;
  if (!media.endsWith("json") || media.endsWith("ndjson")) return undefined;
  const at =
    name === undefined ? ["paths", path, method, "responses", String(status)] : ["components", "responses", name];
  const body: unknown = JSON.parse(text);
  const validate = validatorAt(pointerOf(...at, "content", media, "schema"));
  if (!validate(body)) return `${method} ${path}: ${status} ${ajv.errorsText(validate.errors)}: ${text.slice(0, 500)}`;
  const codes = found["x-codes"];
  // The errors of AuthZEN are only a text.
  const code = typeof body === "string" ? codes?.[0] : (body as { readonly code?: string }).code;
  if (codes === undefined || codes.includes(must(code))) return undefined;
  return `${method} ${path}: ${status} may not have the code \`${code}\`: ${text.slice(0, 300)}`;
}

/** Whether `body` matches the documented schema of the operation's request. */
export function matchesRequest({ method, path }: NamedOperation, body: unknown): boolean {
  return validatorAt(pointerOf("paths", path, method, "requestBody", "content", "application/json", "schema"))(body);
}

/** The parameters of a request that the document refuses. Headers and the query string are looked at. */
export function refusedParameters({ parameters = [] }: NamedOperation, { headers, url }: Request): string[] {
  const query = new URL(url).searchParams;
  return parameters
    .filter(({ in: place, name, schema }) => {
      const given = place === "header" ? headers.get(name) : query.get(name);
      return given !== null && !parameterValidator(schema)(given);
    })
    .map(({ name }) => name);
}

const parameterValidators = new WeakMap<object, ValidateFunction>();

function parameterValidator(schema: object): ValidateFunction {
  const known = parameterValidators.get(schema) ?? ajv.compile(schema);
  parameterValidators.set(schema, known);
  return known;
}

/** Fails if the response is not as documented. Paths and methods that no operation has are not looked at. */
export function expectDocumented(method: string, path: string, response: Parameters<typeof undocumentedIn>[1]): void {
  const operation = operationOf(method, path);
  if (operation !== undefined && method !== "HEAD") expect(undocumentedIn(operation, response)).toBeUndefined();
}
