/**
 * The schemas of all requests with a body, each written once, with the limits as part of them. A parser validates a
 * body and returns the value that the rest of the program uses. Small bodies are parsed on the serving thread and large
 * ones on another thread (`body-parser.ts`), which finds the parser here by its name.
 */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { apiKeyRole, type FactChange } from "../../engine/state/event.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  ListQuestion,
  Query,
  ResourcesQuestion,
} from "../../engine/request/questions.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { Source } from "../../polar/source.ts";
import { AppError } from "../../util/app-error.ts";
import { listOf, recordOf } from "../../util/bounded-schema.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import { malformedToken, pageTokenCharactersMax } from "../pages/page-token.ts";
import { parserOf, validator } from "./schema-error.ts";

export type RequestParsers = ReturnType<typeof requestParsers>;
export type RequestName = keyof RequestParsers;
export type ParsedRequest<Name extends RequestName> = ReturnType<RequestParsers[Name]>;

/** The parsers by name. Each throws AppError `invalid_request` or `too_large` for an invalid body. */
export function requestParsers(limits: Limits) {
  return { ...questionParsers(limits), ...policyParsers(limits), ...changeParsers(limits) };
}

/** The parts that several requests have in common, made once: in the OpenAPI document a part has one name. */
function commonSchemas(limits: Limits): ReturnType<typeof createCommonSchemas> {
  const schemas = common.get(limits) ?? createCommonSchemas(limits);
  common.set(limits, schemas);
  return schemas;
}

const common = new WeakMap<Limits, ReturnType<typeof createCommonSchemas>>();

function createCommonSchemas({ identifierBytesMax, contextFactsMax }: Limits) {
  /** A text that can be empty. */
  const text = z
    .string()
    .refine((given) => fitsInBytes(given, identifierBytesMax), {
      error: `must not be longer than ${identifierBytesMax} bytes`,
    })
    .meta({ maxLength: identifierBytesMax });
  /** A type, an id, or the name of a predicate, a role or an action. */
  const name = text.min(1);
  const value = z.object({ type: name, id: name }).meta({ id: "ValueInput" });
  /** A fact, stored or of one request. The engine checks more than this shape. */
  const fact = z.object({ predicate: name, args: argumentsOf(value) }).meta({ id: "FactInput" });
  return { text, name, value, fact, contextFacts: listOf(fact, { max: contextFactsMax }) };
}

function argumentsOf<Schema extends z.ZodType>(schema: Schema) {
  return listOf(schema, { min: 1, max: factArgumentsMax, error: `must have 1 to ${factArgumentsMax} entries` });
}

type ActorBody = Readonly<Record<"actor_type" | "actor_id", string>>;
const actorOf = ({ actor_type, actor_id }: ActorBody) => ({ type: actor_type, id: actor_id });

type ResourceBody = Readonly<Record<"resource_type" | "resource_id", string>>;
const resourceOf = ({ resource_type, resource_id }: ResourceBody) => ({ type: resource_type, id: resource_id });

function questionParsers(limits: Limits) {
  const { name, value, contextFacts } = commonSchemas(limits);
  const actor = { actor_type: name, actor_id: name };
  const resource = { resource_type: name, resource_id: name };
  const facts = { context_facts: contextFacts.nullish().transform((given) => given ?? []) };
  const authorize = z
    .object({ ...actor, action: name, ...resource, ...facts })
    .transform((body): AuthorizeQuestion => ({
      actor: actorOf(body),
      action: body.action,
      resource: resourceOf(body),
      contextFacts: body.context_facts,
    }));
  const authorizeResources = z
    .object({ ...actor, action: name, resources: listOf(value, { max: limits.listPageEntriesMax }), ...facts })
    .transform((body): ResourcesQuestion => ({
      actor: actorOf(body),
      action: body.action,
      resources: body.resources,
      contextFacts: body.context_facts,
    }));
  const actions = z.object({ ...actor, ...resource, ...facts }).transform((body): ActionsQuestion => ({
    actor: actorOf(body),
    resource: resourceOf(body),
    contextFacts: body.context_facts,
  }));
  const page = { page_size: z.int().min(1).nullish(), page_token: z.string().nullish() };
  const list = z.object({ ...actor, action: name, resource_type: name, ...facts, ...page }).transform((body) => {
    const { action, resource_type: resourceType, context_facts: contextFacts } = body;
    const question: ListQuestion = { actor: actorOf(body), action, resourceType, contextFacts };
    return { question, pageSize: body.page_size ?? null, pageToken: body.page_token || null };
  });
  const parseList = validator("body", list);
  return {
    authorize: validator("body", authorize),
    authorizeResources: validator("body", authorizeResources),
    actions: validator("body", actions),
    list: parserOf(list, (value) => {
      const request = parseList(value);
      if (request.pageToken !== null && request.pageToken.length > pageTokenCharactersMax) throw malformedToken();
      return request;
    }),
    query: validator("body", querySchema(limits)),
  };
}

/**
 * A fast path for `POST /api/authorize` that accepts nearly all of its bodies: five texts and no context facts. It
 * returns `undefined` for all other bodies, which the schema has to validate. The schema takes as long as a cached
 * decision. A property test proves that both give the same question. The decision is cached under `text`, the text of
 * the body.
 */
export function simpleAuthorizeQuestion(
  body: unknown,
  text: string,
  { identifierBytesMax: max }: Pick<Limits, "identifierBytesMax">,
): AuthorizeQuestion | undefined {
  if (body === null || typeof body !== "object") return undefined;
  const { actor_type, actor_id, action, resource_type, resource_id, context_facts } = body as Record<string, unknown>;
  const hasNoFacts = context_facts === undefined || (Array.isArray(context_facts) && context_facts.length === 0);
  if (!hasNoFacts || !isName(actor_type, max) || !isName(actor_id, max) || !isName(action, max)) return undefined;
  if (!isName(resource_type, max) || !isName(resource_id, max)) return undefined;
  const actor = { type: actor_type, id: actor_id };
  const resource = { type: resource_type, id: resource_id };
  return { actor, action, resource, contextFacts: noFacts, text };
}

const noFacts: AuthorizeQuestion["contextFacts"] = [];

function isName(name: unknown, bytesMax: number): name is string {
  return typeof name === "string" && name !== "" && fitsInBytes(name, bytesMax);
}

/** All keys are required, as documented: if a query lost its calls on the way, it would get more results, not fewer. */
function querySchema(limits: Limits) {
  const { text, name, contextFacts } = commonSchemas(limits);
  const { queryCallsMax, queryVariablesMax, queryIdsMax, identifierBytesMax } = limits;
  const call = z.tuple([name, listOf(name, { max: queryVariablesMax })]);
  const constraint = z.object({ type: name, ids: listOf(text, { max: queryIdsMax }).nullable() });
  return z
    .object({
      predicate: call,
      // The predicate is one of the calls.
      calls: listOf(call, { max: queryCallsMax - 1 }),
      constraints: recordOf(constraint, { max: queryVariablesMax, keyBytesMax: identifierBytesMax }),
      context_facts: contextFacts,
    })
    .transform((body, context): Query => {
      const variables = new Map(Object.entries(body.constraints));
      const calls = [body.predicate, ...body.calls].map(([predicate, names]) => ({ predicate, variables: names }));
      const untyped = calls.flatMap((each) => each.variables).find((variable) => !variables.has(variable));
      const message = `must say of which type \`${untyped}\` is`;
      if (untyped !== undefined) context.addIssue({ code: "custom", path: ["constraints"], message });
      return { calls, variables, contextFacts: body.context_facts };
    });
}

function policyParsers({ policyFilesMax, policyFilenameBytesMax }: Limits) {
  const filename = z.string().refine((given) => fitsInBytes(given, policyFilenameBytesMax), {
    error: `must not be longer than ${policyFilenameBytesMax} bytes`,
  });
  const file = z.object({ filename: filename.min(1), src: z.string() });
  const policy = {
    src: z.string().optional(),
    filename: filename.nullish(),
    files: listOf(file, { min: 1, max: policyFilesMax }).optional(),
  };
  return {
    policy: validator("body", z.object({ src: z.string(), filename: filename.nullish() })),
    validate: validator("body", z.object(policy).transform(withSources)),
    test: validator("body", z.object({ ...policy, coverage: z.boolean().default(false) }).transform(withSources)),
  };
}

interface PolicyBody {
  readonly src?: string | undefined;
  readonly filename?: string | null | undefined;
  readonly files?: readonly { readonly filename: string; readonly src: string }[] | undefined;
}

/** A policy is either one text, as in `POST /api/policy`, or several files. */
function withSources<Body extends PolicyBody>(
  { src, filename, files, ...rest }: Body,
  context: z.RefinementCtx,
): Omit<Body, keyof PolicyBody> & { sources: Source[] } {
  if ((src === undefined) === (files === undefined)) {
    context.addIssue({ code: "custom", message: "must have either `src`, the text of the policy, or `files`" });
  }
  const sources = files?.map((file) => ({ name: file.filename, text: file.src })) ?? [
    { name: filename || "policy.polar", text: src ?? "" },
  ];
  return { ...rest, sources };
}

function changeParsers(limits: Limits) {
  const key = z.object({ name: z.string().min(1).max(100), role: apiKeyRole });
  const promote = z
    .object({ force: z.boolean().default(false), graceful: z.boolean().default(false) })
    .refine(({ force, graceful }) => !(force && graceful), {
      error:
        "must not have both `force`, which replaces a primary even if it answers, and `graceful`, which takes over from it",
    });
  return { batch: batchParser(limits), key: validator("body", key), promote: validator("body", promote) };
}

/** A batch is one transaction in the given order: a change can delete a fact that an earlier change inserts. */
function batchParser(limits: Limits) {
  const { name, fact } = commonSchemas(limits);
  const { batchEntriesMax: max } = limits;
  const patternValue = z
    .object({ type: name.nullable(), id: name.nullable() })
    .refine(({ type, id }) => type !== null || id === null, {
      path: ["type"],
      error: "must say of which type this id is",
    })
    .meta({ id: "ValuePattern" });
  /** The facts to delete: `null` matches all types or ids. */
  const pattern = z.object({ predicate: name, args: argumentsOf(patternValue) }).meta({ id: "FactPattern" });
  const change = z
    .object({ inserts: listOf(fact, { max }).optional(), deletes: listOf(pattern, { max }).optional() })
    .refine(({ inserts, deletes }) => (inserts === undefined) !== (deletes === undefined), {
      error: 'must be either `{"inserts": [...]}` or `{"deletes": [...]}`: their order matters',
    })
    .meta({ oneOf: [{ required: ["inserts"] }, { required: ["deletes"] }] });
  const schema = listOf(change, { max });
  const parse = validator("body", schema);
  return parserOf(schema, (value): FactChange[] => {
    const changes = parse(value);
    const entries = changes.reduce((sum, { inserts, deletes }) => sum + (inserts ?? deletes ?? []).length, 0);
    if (entries > max) {
      const message = `the batch has ${entries} entries, at most ${max} are allowed, send it in parts`;
      throw new AppError("too_large", message);
    }
    return changes.map(({ inserts, deletes }): FactChange => (inserts ? { inserts } : { deletes: deletes ?? [] }));
  });
}
