/**
 * What each route with a body takes: a schema, and what the rest of the program is asked with. Small bodies are parsed on the serving thread, large
 * ones in another (`body-parser.ts`), which finds them here by name.
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
import type { Source } from "../../polar/source.ts";
import { AppError } from "../../util/app-error.ts";
import { listOf, recordOf } from "../../util/bounded-schema.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import { malformedToken, pageTokenCharactersMax } from "../pages/page-token.ts";
import { validator } from "./schema-error.ts";
import { commonSchemas } from "./common-schemas.ts";

export type RequestParsers = ReturnType<typeof requestParsers>;
export type RequestName = keyof RequestParsers;
/** What a body becomes. */
export type ParsedRequest<Name extends RequestName> = ReturnType<RequestParsers[Name]>;

/** By name, a function from a body to what it asks for. Each throws `invalid_request` or `too_large` for a body that it does not take. */
export function requestParsers(limits: Limits) {
  return { ...questionsOf(limits), ...policiesOf(limits), ...changesOf(limits) };
}

function questionsOf(limits: Limits) {
  const { text, name, value, contextFacts, optionalContextFacts } = commonSchemas(limits);
  const actor = { actor_type: name, actor_id: name };
  const resource = { resource_type: name, resource_id: name };
  const facts = { context_facts: optionalContextFacts };
  const resources = listOf(value, { max: limits.listPageEntriesMax });
  const list = {
    ...actor,
    action: name,
    resource_type: name,
    ...facts,
    page_size: z.int().min(1).nullish(),
    page_token: z.string().nullish(),
  };
  return {
    authorize: toAuthorize(z.object({ ...actor, action: name, ...resource, ...facts })),
    authorizeResources: toResources(z.object({ ...actor, action: name, resources, ...facts })),
    list: toList(z.object(list)),
    actions: toActions(z.object({ ...actor, ...resource, ...facts })),
    query: toQuery(queryBody(limits, { text, name, contextFacts })),
  };
}

interface ActorBody {
  readonly actor_type: string;
  readonly actor_id: string;
  readonly context_facts: AuthorizeQuestion["contextFacts"];
}

const asked = ({ actor_type, actor_id, context_facts }: ActorBody) => ({
  actor: { type: actor_type, id: actor_id },
  contextFacts: context_facts,
});

type Body<T> = z.ZodType<T>;
interface ResourceBody extends ActorBody {
  readonly resource_type: string;
  readonly resource_id: string;
}

const resourceOf = ({ resource_type, resource_id }: ResourceBody) => ({ type: resource_type, id: resource_id });

function toAuthorize(schema: Body<ResourceBody & { readonly action: string }>) {
  const take = validator("body", schema);
  return (value: unknown): AuthorizeQuestion => {
    const body = take(value);
    return { ...asked(body), action: body.action, resource: resourceOf(body) };
  };
}

function toActions(schema: Body<ResourceBody>) {
  const take = validator("body", schema);
  return (value: unknown): ActionsQuestion => {
    const body = take(value);
    return { ...asked(body), resource: resourceOf(body) };
  };
}

function toResources(schema: Body<ActorBody & Pick<ResourcesQuestion, "action" | "resources">>) {
  const take = validator("body", schema);
  return (value: unknown): ResourcesQuestion => {
    const body = take(value);
    return { ...asked(body), action: body.action, resources: body.resources };
  };
}

interface ListBody extends ActorBody {
  readonly action: string;
  readonly resource_type: string;
  readonly page_size?: number | null | undefined;
  readonly page_token?: string | null | undefined;
}

/** A list, or a page of it. */
export interface ListRequest {
  readonly question: ListQuestion;
  readonly pageSize: number | null;
  readonly pageToken: string | null;
}

function toList(schema: Body<ListBody>) {
  const take = validator("body", schema);
  return (value: unknown): ListRequest => {
    const body = take(value);
    const question = { ...asked(body), action: body.action, resourceType: body.resource_type };
    const pageToken = body.page_token || null;
    if (pageToken !== null && pageToken.length > pageTokenCharactersMax) throw malformedToken();
    return { question, pageSize: body.page_size ?? null, pageToken };
  };
}

type QueryPieces = Pick<ReturnType<typeof commonSchemas>, "text" | "name" | "contextFacts">;

/** Unlike elsewhere all keys are required, as documented: a question that lost its calls on the way would get more answers, not fewer. */
function queryBody(limits: Limits, { text, name, contextFacts }: QueryPieces) {
  const { queryCallsMax, queryVariablesMax, queryIdsMax, identifierBytesMax } = limits;
  const call = z.tuple([name, listOf(name, { max: queryVariablesMax })]);
  const constraint = z.object({ type: name, ids: listOf(text, { max: queryIdsMax }).nullable() });
  return z.object({
    predicate: call,
    // With the predicate, which is one of them.
    calls: listOf(call, { max: queryCallsMax - 1 }),
    constraints: recordOf(constraint, { max: queryVariablesMax, keyBytesMax: identifierBytesMax }),
    context_facts: contextFacts,
  });
}

function toQuery(schema: ReturnType<typeof queryBody>) {
  const take = validator("body", schema);
  return (value: unknown): Query => {
    const body = take(value);
    const variables = new Map(Object.entries(body.constraints));
    const calls = [body.predicate, ...body.calls].map(([predicate, names]) => ({ predicate, variables: names }));
    for (const call of calls) {
      const unknown = call.variables.find((name) => !variables.has(name));
      if (unknown !== undefined)
        throw new AppError("invalid_request", `\`constraints\` in the body must say of which type \`${unknown}\` is`);
    }
    return { calls, variables, contextFacts: body.context_facts };
  };
}

function policiesOf({ policyFilesMax, policyFilenameBytesMax }: Limits) {
  const filename = z.string().refine((given) => fitsInBytes(given, policyFilenameBytesMax), {
    error: `must not be longer than ${policyFilenameBytesMax} bytes`,
  });
  const file = z.object({ filename: filename.min(1), src: z.string() });
  const source = {
    src: z.string().optional(),
    filename: filename.nullish(),
    files: listOf(file, { min: 1, max: policyFilesMax }).optional(),
  };
  return {
    policy: validator("body", z.object({ src: z.string(), filename: filename.nullish() })),
    validate: validator("body", z.object(source).transform(withSources)),
    test: validator("body", z.object({ ...source, coverage: z.boolean().default(false) }).transform(withSources)),
  };
}

interface PolicyBody {
  readonly src?: string | undefined;
  readonly filename?: string | null | undefined;
  readonly files?: readonly { readonly filename: string; readonly src: string }[] | undefined;
}

/** One text, as `POST /api/policy` takes it, or several files that are one policy. */
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

function changesOf(limits: Limits) {
  return {
    batch: toChanges(limits),
    key: validator("body", z.object({ name: z.string().min(1).max(100), role: apiKeyRole })),
    promote: validator(
      "body",
      z
        .object({ force: z.boolean().default(false), graceful: z.boolean().default(false) })
        .refine(({ force, graceful }) => !(force && graceful), {
          error: "`force` passes over a primary that answers, `graceful` takes over from it: say one of them",
        }),
    ),
  };
}

/** One transaction, in the order given: a fact inserted by one change may be deleted by the next. */
function toChanges(limits: Limits) {
  const { fact, pattern } = commonSchemas(limits);
  const { batchEntriesMax: max } = limits;
  const change = z
    .object({ inserts: listOf(fact, { max }).optional(), deletes: listOf(pattern, { max }).optional() })
    .refine(({ inserts, deletes }) => (inserts === undefined) !== (deletes === undefined), {
      error: 'must be either `{"inserts": [...]}` or `{"deletes": [...]}`: their order matters',
    });
  const take = validator("body", listOf(change, { max }));
  return (value: unknown): FactChange[] => {
    const body = take(value);
    const entries = body.reduce((sum, { inserts, deletes }) => sum + (inserts ?? deletes ?? []).length, 0);
    if (entries > max) {
      const message = `the batch has ${entries} entries, at most ${max} are allowed, send it in parts`;
      throw new AppError("too_large", message);
    }
    return body.map(({ inserts, deletes }): FactChange => (inserts ? { inserts } : { deletes: deletes ?? [] }));
  };
}
