/**
 * The OpenAPI 3.1 document of the HTTP API, made from the declarations of endpoints. The schemas of requests are those that validate them; the schemas of
 * responses only document them, and a test compares them with real responses.
 */
import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
  type ZodOpenApiResponsesObject,
} from "zod-openapi";
import packageJson from "../../package.json" with { type: "json" };
import type { Limits } from "../config/limits.ts";
import type { ErrorCode } from "../util/app-error.ts";
import { hintHeader } from "../util/header-text.ts";
import { errorCatalogue } from "./middleware/error-catalogue.ts";
import { requestParsers } from "./request/request-schemas.ts";
import { type Endpoint, type Endpoints, errorsOf, momentHeader, type ResponseBody, tags } from "./endpoint.ts";

export function openApiDocument(endpoints: Endpoints, limits: Limits) {
  const paths: ZodOpenApiPathsObject = {};
  const failures = failureResponses();
  const bodies = requestParsers(limits);
  for (const [id, endpoint] of Object.entries(endpoints)) {
    const path = documentedPath(endpoint.path);
    const body = endpoint.body && bodies[endpoint.body].schema;
    const method = endpoint.method.toLowerCase();
    paths[path] = { ...paths[path], [method]: describeEndpoint(id, endpoint, body, failures(endpoint)) };
  }
  return createDocument({
    openapi: "3.1.1",
    info: {
      title: "Ostiary",
      version: packageJson.version,
      license: { name: packageJson.license, identifier: packageJson.license },
      description:
        "Authorization questions, facts and policies, as in Oso Cloud, and the operation of a node. `HEAD` works for each `GET`, and `OPTIONS` answers with the methods of a path. Unknown members of questions and of changes of facts are ignored; those of all other requests are errors (`additionalProperties: false`). An error has a `message` for people and a stable `code`: `x-errors` has the meaning of each.",
    },
    servers: [{ url: "/" }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    security: [],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: "http", scheme: "bearer", description: "An API key. Its role is `read`, `write` or `admin`." },
        person: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description:
            "A token of the OIDC issuer that the node is configured with (`GET /api/login`). Its claims give the role.",
        },
      },
    },
    "x-errors": Object.entries(errorCatalogue).map(([code, meaning]) => ({ code, ...meaning })),
  });
}

/** The path with parameters in braces. */
export function documentedPath(path: string): string {
  return path.replaceAll(/:(\w+)/g, "{$1}").replace("*", "{path}");
}

function describeEndpoint(
  id: string,
  endpoint: Endpoint,
  body: z.ZodType | undefined,
  failures: ZodOpenApiResponsesObject,
): ZodOpenApiOperationObject {
  const { path, tag, summary, description, role, kind, query, deprecated, isDevelopment, hasMoment } = endpoint;
  const parameters = [...documentedPath(path).matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(deprecated && { deprecated }),
    ...(isDevelopment && { "x-development": true }),
    ...(role !== undefined && { security: [{ apiKey: [role] }, { person: [role] }] }),
    requestParams: {
      ...(parameters.length > 0 && {
        path: z.object(Object.fromEntries(parameters.map((name) => [name, z.string()]))),
      }),
      ...(query !== undefined && { query: query() }),
      ...(kind === "read" && { header: hasMoment ? questionHeaders : readHeaders }),
      ...(kind === "write" && { header: writeHeaders }),
    },
    ...(body !== undefined && { requestBody: { required: true, content: { "application/json": { schema: body } } } }),
    responses: { ...successes(endpoint), ...failures },
  };
}

const readHeaders = z.object({
  OsoOffset: z
    .string()
    .optional()
    .meta({
      param: {
        id: "OsoOffset",
        description: "A consistency token: the answer is from a state that contains this position",
      },
    }),
  "Ostiary-Consistency": z
    .enum(["latest"])
    .optional()
    .meta({
      param: {
        id: "OstiaryConsistency",
        description: "The answer is from a state that contains all acknowledged writes",
      },
    }),
});

const questionHeaders = readHeaders.extend({
  [momentHeader]: z
    .string()
    .optional()
    .meta({
      param: {
        id: "OstiaryAt",
        description:
          "The question is about this earlier moment, with its policy, facts and clock: an offset, a consistency token, or a time with its zone. The response repeats the header as a consistency token",
      },
    }),
});

const writeHeaders = z.object({
  "X-Request-ID": z
    .string()
    .optional()
    .meta({
      param: {
        id: "RequestId",
        description:
          "A write that is sent again under the same id is done once; an id of more than 200 characters is ignored",
      },
    }),
});

function successes({ kind, hasHint, hasMoment, responses }: Endpoint): ZodOpenApiResponsesObject {
  const shapes = {
    ...(kind === "write" && positionHeader),
    ...(hasHint && hintHeaderShape),
    ...(hasMoment && momentHeaderShape),
  };
  const headers = Object.keys(shapes).length > 0 ? z.object(shapes) : undefined;
  return Object.fromEntries(
    Object.entries(responses()).map(([status, response]) => [
      status,
      { ...describeResponse(response), ...(headers && { headers }) },
    ]),
  );
}

const positionHeader = {
  OsoOffset: z.string().meta({ header: { description: "The position of the write" } }),
};

const momentHeaderShape = {
  [momentHeader]: z
    .string()
    .optional()
    .meta({
      header: {
        id: "OstiaryAtPosition",
        description: "The position of the moment, if the request has the header",
      },
    }),
};

const hintHeaderShape = {
  [hintHeader]: z
    .string()
    .optional()
    .meta({
      header: {
        id: "OstiaryHint",
        description:
          "For people: the names that the policy does not have, each with the most similar name that it has, in a question that found nothing or in stored facts; or that there is no policy. Characters other than printable ASCII, and `%`, are percent-encoded UTF-8",
      },
    }),
};

function describeResponse({ description, content }: ResponseBody) {
  const types = Object.entries(content).map(([type, schema]) => [type, { schema }] as const);
  return { description, ...(types.length > 0 && { content: Object.fromEntries(types) }) };
}

/**
 * Returns a function that describes the errors of an endpoint: one response for each status, whose `x-codes` lists the
 * codes that it can have. Endpoints share equal responses.
 */
function failureResponses(): (endpoint: Endpoint) => ZodOpenApiResponsesObject {
  const made = new Map<string, ZodOpenApiResponseObject>();
  return (endpoint) => {
    const [responses, errorBodies] = [endpoint.responses(), endpoint.errorBodies?.() ?? {}];
    const errorBody = endpoint.errorBody?.() ?? errorSchema;
    const byStatus = Map.groupBy(errorsOf(endpoint), (code) => errorCatalogue[code].status);
    const described: ZodOpenApiResponsesObject = {};
    for (const [status, codes] of byStatus) {
      if (status in responses) continue;
      const bodies = new Set(codes.map((code) => errorBodies[code] ?? errorBody));
      const unusual = [...bodies].filter((body) => body !== errorSchema).map((body) => String(body.meta()?.id));
      const id = [...codes, ...unusual].join(".");
      const response = made.get(id) ?? failureResponse(id, codes, [...bodies]);
      made.set(id, response);
      described[`${status as 400}`] = response;
    }
    return described;
  };
}

function failureResponse(id: string, codes: readonly ErrorCode[], bodies: readonly z.ZodType[]) {
  const [first = errorSchema, ...others] = bodies;
  const schema = others.length === 0 ? first : z.union([first, ...others]);
  const description = codes.map(describeCode).join("; ");
  return { id, description, content: { "application/json": { schema } }, "x-codes": codes };
}

const describeCode = (code: ErrorCode): string => `\`${code}\`: ${errorCatalogue[code].cause}`;

const errorSchema = z
  .strictObject({
    message: z.string().meta({ description: "What happened, where, and how to fix it; the text can change" }),
    code: z.enum(Object.keys(errorCatalogue)).meta({ description: "Stable; `x-errors` has the meaning" }),
  })
  .meta({ id: "Error" });
