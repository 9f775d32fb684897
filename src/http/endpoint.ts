/**
 * The description of one operation of the HTTP API, from which the OpenAPI document is made. Tests compare it with the
 * routes and with real responses; nothing of it is used while a request is handled.
 */
import { z } from "zod";
import type { ApiKeyRole } from "../engine/state/event.ts";
import type { ErrorCode } from "../util/app-error.ts";

export interface Operation {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** As the router has it, such as `/api/keys/:id`. */
  readonly path: string;
  /** The name of the operation in generated clients. */
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description?: string;
  /** Whether it answers from the node's data, changes them at the primary, or does something else. */
  readonly kind: "read" | "write" | "other";
  /** The weakest role that is accepted; undefined if the operation is open to everybody. */
  readonly role: ApiKeyRole | undefined;
  /** The parameters of the query string. */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The responses of success by status. A schema stands for JSON. */
  readonly responses: Readonly<Record<number, ResponseBody>>;
  /** The errors that only some operations have; `commonErrors` has the others. */
  readonly errors?: readonly ErrorCode[];
  /** The bodies of errors that have more members than `message` and `code`. */
  readonly errorBodies?: Readonly<Partial<Record<ErrorCode, z.ZodType>>>;
  /** The body of all other errors, if it is not the usual one. */
  readonly errorBody?: z.ZodType;
  /** Whether a response can have a hint about unknown names. */
  readonly hasHint?: boolean;
  readonly deprecated?: boolean;
  /** Only `ostiary dev` has it. */
  readonly isDevelopment?: boolean;
}

export interface ResponseBody {
  readonly description: string;
  /** The schema by media type. */
  readonly content: Readonly<Record<string, z.ZodType>>;
}

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

/** The errors of an operation, without duplicates. */
export function errorsOf({ method, kind, role, errors = [] }: Operation): ErrorCode[] {
  const codes: ErrorCode[] = ["invalid_request"];
  // A person can have no role at all.
  if (role !== undefined) codes.push("unauthorized", "forbidden", "too_many_requests");
  // The consistency token of another history.
  if (kind === "read") codes.push("conflict");
  if (role !== undefined && method !== "get") codes.push("too_large", "request_timeout", "request_aborted");
  if (kind === "write") codes.push("read_only");
  return [...new Set<ErrorCode>([...codes, ...errors, "internal", "not_ready"])];
}

/** JSON that the API answers with. */
export function json(description: string, schema: z.ZodType): ResponseBody {
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
