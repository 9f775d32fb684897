/**
 * The schemas of all requests with a body, each written once, with the limits as part of them. A parser validates a
 * body and returns the value that the rest of the program uses. Small bodies are parsed on the serving thread and large
 * ones on another thread (`body-parser.ts`), which finds the parser here by its name.
 */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { FactChange } from "../../log/event/event.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  BulkActionsQuestion,
  ListQuestion,
  PatternQuestion,
  Query,
  ResourcesQuestion,
} from "../../engine/request/questions.ts";
import type { SourcePart } from "../../policy/stored-policy.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { Source } from "../../polar/source.ts";
import { AppError } from "../../util/app-error.ts";
import { listOf, recordOf } from "../../util/bounded-schema.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import type { Fact, FactPattern } from "../../store/facts/fact.ts";
import { malformedToken, pageTokenCharactersMax } from "../pages/page-token.ts";
import { authzenParsers } from "./authzen-schemas.ts";
import { environmentParsers } from "./environment-schemas.ts";
import { keyParsers } from "./key-schemas.ts";
import { explainParser, localParsers } from "./local-schemas.ts";
import { loginParsers } from "./login-schemas.ts";
import { parserOf, validator } from "./schema-error.ts";

export type RequestParsers = ReturnType<typeof requestParsers>;
export type RequestName = keyof RequestParsers;
export type ParsedRequest<Name extends RequestName> = ReturnType<RequestParsers[Name]>;

/** The parsers by name. Each throws AppError `invalid_request` or `too_large` for an invalid body. */
export function requestParsers(limits: Limits) {
  return {
    ...questionParsers(limits),
    ...policyParsers(limits),
    ...changeParsers(limits),
    ...authzenParsers(limits),
    ...loginParsers,
  };
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
  /** The actor may have an empty id: old clients send it for anonymous visitors. */
  const actorId = text;
  /** A fact to store. The engine checks more than this shape. */
  const fact = z.object({ predicate: name, args: argumentsOf(value) }).meta({ id: "FactInput" });
  /** The engine accepts an empty id in a context fact if it is that of the actor. */
  const contextValue = z.object({ type: name, id: actorId }).meta({ id: "ContextValue" });
  const contextFact = z.object({ predicate: name, args: argumentsOf(contextValue) }).meta({ id: "ContextFact" });
  const contextFacts = listOf(contextFact, { max: contextFactsMax });
  return { text, name, value, actorId, fact, contextFacts, optionalContextFacts: optional(contextFacts) };
}

/** A list that may be missing or null. */
function optional<Element>(list: z.ZodType<Element[]>) {
  return list.nullish().transform((given) => given ?? []);
}

/** A pattern of facts: `null` matches all types or ids. */
function patternOf(name: z.ZodString, id: z.ZodString, argumentsMax: number) {
  const value = z
    .object({ type: name.nullable(), id: id.nullable() })
    .refine(({ type, id: given }) => type !== null || given === null, {
      path: ["type"],
      error: "must say of which type this id is",
    });
  return z.object({ predicate: name, args: argumentsOf(value, argumentsMax) });
}

function argumentsOf<Schema extends z.ZodType>(schema: Schema, max = factArgumentsMax) {
  return listOf(schema, { min: 1, max, error: `must have 1 to ${max} entries` });
}

/** One replay of logged decisions decides at most so many again. */
const replayedDecisionsMax = 100_000;

/** A point in time. */
export const timeText = z
  .string()
  .refine((text) => /^\d{4}-\d{2}-\d{2}T/.test(text) && !Number.isNaN(Date.parse(text)), {
    error: "must be a time such as `2026-11-26T07:00:00Z`",
  });

/** Request ids from clients are not longer. */
export const requestIdCharactersMax = 200;

type ActorBody = Readonly<Record<"actor_type" | "actor_id", string>>;
const actorOf = ({ actor_type, actor_id }: ActorBody) => ({ type: actor_type, id: actor_id });

type ResourceBody = Readonly<Record<"resource_type" | "resource_id", string>>;
const resourceOf = ({ resource_type, resource_id }: ResourceBody) => ({ type: resource_type, id: resource_id });

function authorizeBodyOf(limits: Limits) {
  const { name, actorId, optionalContextFacts: context_facts } = commonSchemas(limits);
  const actor = { actor_type: name, actor_id: actorId };
  return z.object({ ...actor, action: name, resource_type: name, resource_id: name, context_facts });
}

function authorizeQuestion(body: z.output<ReturnType<typeof authorizeBodyOf>>): AuthorizeQuestion {
  return { actor: actorOf(body), action: body.action, resource: resourceOf(body), contextFacts: body.context_facts };
}

function questionParsers(limits: Limits) {
  const { name, value, actorId, optionalContextFacts } = commonSchemas(limits);
  const actor = { actor_type: name, actor_id: actorId };
  const resource = { resource_type: name, resource_id: name };
  const facts = { context_facts: optionalContextFacts };
  const authorizeBody = authorizeBodyOf(limits);
  const authorize = authorizeBody.transform(authorizeQuestion);
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
  // The official clients send the context facts of all questions with the first one.
  const bulkActions = listOf(actions, { max: limits.listPageEntriesMax });
  const parseBulkActions = validator("body", bulkActions);
  const pattern = z
    .object({ fact: patternOf(name, actorId, limits.queryVariablesMax), ...facts })
    .transform((body): PatternQuestion => ({ fact: body.fact, contextFacts: body.context_facts }));
  const page = { page_size: z.int().min(1).nullish(), page_token: z.string().nullish() };
  const listBody = z.object({ ...actor, action: name, resource_type: name, ...facts });
  const listQuestion = (body: z.output<typeof listBody>): ListQuestion => {
    const { action, resource_type: resourceType, context_facts: contextFacts } = body;
    return { actor: actorOf(body), action, resourceType, contextFacts };
  };
  const list = listBody.extend(page).transform((body) => {
    return { question: listQuestion(body), pageSize: body.page_size ?? null, pageToken: body.page_token || null };
  });
  const parseList = validator("body", list);
  const query = querySchema(limits);
  return {
    ...localParsers({ authorize, list: listBody.transform(listQuestion), actions, query }, limits),
    explain: explainParser(authorizeBody, authorizeQuestion),
    authorize: validator("body", authorize),
    authorizeResources: validator("body", authorizeResources),
    actions: validator("body", actions),
    bulkActions: parserOf(parseBulkActions.schema, (body): BulkActionsQuestion => {
      const [first, ...rest] = parseBulkActions(body);
      if (first === undefined) return { questions: [], contextFacts: [] };
      return { questions: [{ ...first, contextFacts: [] }, ...rest], contextFacts: first.contextFacts };
    }),
    queryPattern: validator("body", pattern),
    list: parserOf(list, (value) => {
      const request = parseList(value);
      if (request.pageToken !== null && request.pageToken.length > pageTokenCharactersMax) throw malformedToken();
      return request;
    }),
    query: validator("body", query),
    expect: validator(
      "body",
      z.object({ request_id: z.string().min(1).max(requestIdCharactersMax), expected: z.boolean() }),
    ),
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
  if (!hasNoFacts || !isName(actor_type, max) || !isText(actor_id, max) || !isName(action, max)) return undefined;
  if (!isName(resource_type, max) || !isName(resource_id, max)) return undefined;
  const actor = { type: actor_type, id: actor_id };
  const resource = { type: resource_type, id: resource_id };
  return { actor, action, resource, contextFacts: noFacts, text };
}

const noFacts: AuthorizeQuestion["contextFacts"] = [];

function isName(name: unknown, bytesMax: number): name is string {
  return name !== "" && isText(name, bytesMax);
}

function isText(text: unknown, bytesMax: number): text is string {
  return typeof text === "string" && fitsInBytes(text, bytesMax);
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

function policyParsers(limits: Limits) {
  const { policyFilesMax, policyFilenameBytesMax, policyMessageBytesMax } = limits;
  const filename = z.string().refine((given) => fitsInBytes(given, policyFilenameBytesMax), {
    error: `must not be longer than ${policyFilenameBytesMax} bytes`,
  });
  const message = z
    .string()
    .refine((given) => fitsInBytes(given, policyMessageBytesMax), {
      error: `must not be longer than ${policyMessageBytesMax} bytes`,
    })
    .nullish()
    .transform((given) => given || undefined);
  const file = z.strictObject({ filename: filename.min(1), src: z.string() });
  const policy = {
    src: z.string().optional(),
    filename: filename.nullish(),
    files: listOf(file, { min: 1, max: policyFilesMax }).optional(),
  };
  const part = z.strictObject({ filename: filename.min(1), lines: z.int().min(1) });
  const parts = listOf(part, { min: 2, max: policyFilesMax }).refine(
    (given) => fitsInBytes(given.map((each) => each.filename).join(""), partNamesBytesMax),
    { error: `must not have names of more than ${partNamesBytesMax} bytes together` },
  );
  const uploadSchema = z
    .strictObject({ src: z.string(), filename: filename.nullish(), message, parts: parts.optional() })
    .refine(({ src, parts: given }) => given === undefined || sumOfLines(given) === src.split("\n").length, {
      path: ["parts"],
      error: "must have as many lines as `src`",
    });
  return {
    policy: validator("body", uploadSchema),
    replay: validator(
      "body",
      z.strictObject({
        src: z.string(),
        filename: filename.nullish(),
        since: timeText.optional(),
        until: timeText.optional(),
        limit: z.int().min(1).max(replayedDecisionsMax).optional(),
      }),
    ),
    policyEffect: validator(
      "body",
      z
        .strictObject({ ...policy, decisions: z.int().min(0).max(replayedDecisionsMax).default(500) })
        .meta(eitherSource)
        .transform(withSources),
    ),
    policyQuestion: validator(
      "body",
      z
        .strictObject({ ...policy, question: authorizeBodyOf(limits).transform(authorizeQuestion) })
        .meta(eitherSource)
        .transform(withSources),
    ),
    policyRollback: validator("body", z.strictObject({ id: z.int().min(1), message })),
    validate: validator("body", z.strictObject(policy).meta(eitherSource).transform(withSources)),
    test: validator(
      "body",
      z
        .strictObject({ ...policy, coverage: z.boolean().default(false) })
        .meta(eitherSource)
        .transform(withSources),
    ),
  };
}

/** The names of the files of a policy are stored with it. */
const partNamesBytesMax = 8192;

function sumOfLines(parts: readonly SourcePart[]): number {
  return parts.reduce((sum, { lines }) => sum + lines, 0);
}

const eitherSource = { oneOf: [{ required: ["src"] }, { required: ["files"] }] };

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
  const promote = z
    .strictObject({ force: z.boolean().default(false), graceful: z.boolean().default(false) })
    .refine(({ force, graceful }) => !(force && graceful), { error: forceAndGraceful });
  return {
    ...factChangeParsers(limits),
    ...keyParsers(limits),
    ...environmentParsers(),
    promote: validator("body", promote),
    /** Of changes that need no body: a client must not believe that a member of it has an effect. */
    nothing: validator(
      "body",
      z
        .strictObject({})
        .nullish()
        .transform(() => ({})),
    ),
  };
}

export const forceAndGraceful =
  "must not have both `force`, which replaces a primary even if it answers, and `graceful`, which takes over from it";

/** All requests that change facts, as changes in their order. Each is one transaction. */
function factChangeParsers(limits: Limits) {
  const { name, fact } = commonSchemas(limits);
  const { batchEntriesMax: max } = limits;
  const pattern = patternOf(name, name, factArgumentsMax).meta({ id: "FactPattern" });
  const inserting = (inserts: readonly Fact[]): FactChange => ({ inserts });
  const deleting = (deletes: readonly FactPattern[]): FactChange => ({ deletes });
  // Go sends `null` for an empty list. Both lists are required: without its deletions, a request would revoke nothing.
  const bulk = z
    .object({ delete: listOf(pattern, { max }).nullable(), tell: listOf(fact, { max }).nullable() })
    .transform((body) => [deleting(body.delete ?? []), inserting(body.tell ?? [])]);
  const parseBulk = validator("body", bulk);
  return {
    batch: batchParser(fact, pattern, max),
    insertFact: validator(
      "body",
      fact.transform((one) => [inserting([one])]),
    ),
    deleteFacts: validator(
      "body",
      pattern.transform((one) => [deleting([one])]),
    ),
    bulkLoad: validator(
      "body",
      listOf(fact, { max }).transform((facts) => [inserting(facts)]),
    ),
    bulkDelete: validator(
      "body",
      listOf(pattern, { max }).transform((patterns) => [deleting(patterns)]),
    ),
    bulk: parserOf(bulk, (body) => withinBatch(parseBulk(body), max)),
  };
}

/** A change can delete a fact that an earlier change of the batch inserts. */
function batchParser(fact: z.ZodType<Fact>, pattern: z.ZodType<FactPattern>, max: number) {
  const change = z
    .object({ inserts: listOf(fact, { max }).optional(), deletes: listOf(pattern, { max }).optional() })
    .refine(({ inserts, deletes }) => (inserts === undefined) !== (deletes === undefined), {
      error: 'must be either `{"inserts": [...]}` or `{"deletes": [...]}`: their order matters',
    })
    .meta({ oneOf: [{ required: ["inserts"] }, { required: ["deletes"] }] });
  const changes = listOf(change, { max }).transform((given) =>
    given.map(({ inserts, deletes }): FactChange => (inserts ? { inserts } : { deletes: deletes ?? [] })),
  );
  const parse = validator("body", changes);
  return parserOf(changes, (value): FactChange[] => withinBatch(parse(value), max));
}

function withinBatch(changes: FactChange[], max: number): FactChange[] {
  const entries = changes.reduce(
    (sum, change) => sum + ("inserts" in change ? change.inserts : change.deletes).length,
    0,
  );
  if (entries <= max) return changes;
  throw new AppError("too_large", `the batch has ${entries} entries, at most ${max} are allowed, send it in parts`);
}
