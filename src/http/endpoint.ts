/**
 * The declaration of an endpoint of the HTTP API: data only. From it come its route with access control (`router.ts`),
 * forwarding and refusal on other nodes (`write-forwarding.ts`), the OpenAPI document, the audit log, and the types of its
 * clients. The declarations are in `features/`, each beside the code that handles its requests.
 */
import { z } from "zod";
import type { ApiKeyRole } from "../log/event/event.ts";
import type { ErrorCode } from "../util/app-error.ts";
import type { AuditAction } from "../store/log/audit-entry.ts";
import type { RequestName } from "./request/request-schemas.ts";

export interface Endpoint {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As the router has it, such as `/api/keys/:id`. */
  readonly path: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description?: string;
  /**
   * `read` answers from the node's data, and waits for a consistency token. `write` changes them at the primary: edges
   * forward it and fallbacks refuse it. `node` concerns this node only, and works if its database is behind.
   */
  readonly kind: "read" | "write" | "node";
  /** The weakest role that is accepted; undefined if the endpoint is open to everybody. */
  readonly role: ApiKeyRole | undefined;
  /** Why only keys of the default environment may use it; undefined if it concerns one environment. */
  readonly appliance?: string;
  /** What the audit log calls it; undefined if it is no action of an administrator. */
  readonly audit?: AuditAction;
  /** The parameters of the query string. */
  readonly query?: () => z.ZodObject;
  /** Whether the handler checks the query string, because no schema can: `query` only documents it. */
  readonly readsQuery?: true;
  /** The name of the body's parser; undefined if the endpoint takes none. */
  readonly body?: RequestName;
  /** Whether it counts as a write for the limits of requests and bodies, although it is none. By default only writes do. */
  readonly weighs?: "as-write" | "body-as-write";
  /** Whether only bodies with the content type of JSON are accepted, as AuthZEN says. */
  readonly requiresJson?: true;
  /** The responses of success by status. A schema stands for JSON. They are made when they are asked for. */
  readonly responses: () => Readonly<Record<number, ResponseBody>>;
  /** The errors that only some endpoints have; `errorsOf` has the others. */
  readonly errors?: readonly ErrorCode[];
  /** The bodies of errors that have more members than `message` and `code`. */
  readonly errorBodies?: () => Readonly<Partial<Record<ErrorCode, z.ZodType>>>;
  /** The body of all other errors, if it is not the usual one. */
  readonly errorBody?: () => z.ZodType;
  /** Whether it can be asked about an earlier moment, with `momentHeader`. Other endpoints refuse the header. */
  readonly hasMoment?: boolean;
  /** Whether a response can have a hint about unknown names. */
  readonly hasHint?: boolean;
  readonly deprecated?: boolean;
  /** Only `ostiary dev` has it. */
  readonly isDevelopment?: boolean;
}

/**
 * The earlier moment that a question is about (`moment.ts`). The response repeats it as a position, so that a client
 * notices a node that ignores the header.
 */
export const momentHeader = "Ostiary-At";

/** The endpoints of a feature, by the names that they have in generated clients. */
export type Endpoints = Readonly<Record<string, Endpoint>>;

/** Returns its argument, with the types of the literals in it. */
export function endpoints<const T extends Endpoints>(declared: T): T {
  return declared;
}

/** The JSON of a successful response. */
export type ResponseOf<E extends Endpoint> =
  ReturnType<E["responses"]> extends { readonly 200: { readonly content: { readonly "application/json": infer S } } }
    ? S extends z.ZodType
      ? z.output<S>
      : never
    : never;

export interface ResponseBody<Content = Readonly<Record<string, z.ZodType>>> {
  readonly description: string;
  /** The schema by media type. */
  readonly content: Content;
}

/** The names of the parameters in a path. */
export type ParameterIn<Path extends string> = Path extends `${string}/:${infer Name}/${infer Rest}`
  ? Name | ParameterIn<`/${Rest}`>
  : Path extends `${string}/:${infer Name}`
    ? Name
    : never;

/** A member that nodes of release 0.1.0 do not send. Returns its argument. */
export function newer<Schema extends z.ZodType>(schema: Schema): Schema {
  newerSchemas.add(schema);
  return schema;
}

/** Whether nodes of release 0.1.0 do not send this member. */
export function isNewer(schema: z.ZodType): boolean {
  return newerSchemas.has(schema);
}

const newerSchemas = new WeakSet<z.ZodType>();

/** The same value, of which nothing may be changed. */
export type Immutable<T> = T extends object ? { readonly [Member in keyof T]: Immutable<T[Member]> } : T;

export const tags = {
  questions: "Decisions, lists and queries. They need a key with the role `read`.",
  local:
    "Local authorization: questions as SQL for the database of the application, and stored data bindings, which only `admin` may change.",
  authzen: "The AuthZEN Authorization API 1.0. Its errors are a JSON string.",
  decisions: "The decision log of a node. It needs a key with the role `admin`.",
  parity: "Decisions that differ from what applications expected.",
  facts: "Stored facts.",
  policy: "The policy: read it, load it, check another one.",
  keys: "API keys, which only `admin` may manage, and people.",
  environments: "Environments. They need an admin key of the default environment.",
  operation: "Events, the audit log, backups, promotion, health and metrics.",
  old: "Operations of clients before version 2.",
} as const;

type Tag = keyof typeof tags;

/** The errors of an endpoint, without duplicates. */
export function errorsOf({ method, kind, role, errors = [], hasMoment }: Endpoint): ErrorCode[] {
  const codes: ErrorCode[] = ["invalid_request"];
  // A person can have no role at all.
  if (role !== undefined) codes.push("unauthorized", "forbidden", "too_many_requests");
  // The consistency token of another history.
  if (kind === "read") codes.push("conflict");
  if (role !== undefined && method !== "GET") codes.push("too_large", "request_timeout", "request_aborted");
  if (kind === "write") codes.push("read_only");
  if (hasMoment) codes.push("gone");
  return [...new Set<ErrorCode>([...codes, ...errors, "internal", "not_ready"])];
}

/** JSON that the API answers with. */
export function json<Schema extends z.ZodType>(
  description: string,
  schema: Schema,
): ResponseBody<{ "application/json": Schema }> {
  return { description, content: { "application/json": schema } };
}

/** The errors of questions, which can take long. */
export const questionErrors = [
  "query_not_enumerable",
  "query_too_expensive",
  "too_large",
  "too_many_requests",
] as const satisfies readonly ErrorCode[];

/** The response of most changes. */
export const messageSchema = z.strictObject({ message: z.string() }).meta({ id: "Message" });

export const valueSchema = z.strictObject({ type: z.string(), id: z.string() }).meta({ id: "Value" });

/** A stored fact in a response. */
export const factSchema = z.strictObject({ predicate: z.string(), args: z.array(valueSchema) }).meta({ id: "Fact" });

/** A list of values, as `authorize_resources` answers. */
export const valuesSchema = z.strictObject({ results: z.array(valueSchema) }).meta({ id: "Values" });

/** The names of actions. */
export const namesSchema = z.strictObject({ results: z.array(z.string()) }).meta({ id: "Names" });
