/**
 * The routes of a node, made from the declarations of endpoints and their handlers: access control, the body and the query
 * string, forwarding and refusal by the role of the node. Elysia routes and checks the query string. It does not read
 * bodies: the key, the limits and the size are checked before, and large bodies are parsed in a thread.
 */
import type { AnyElysia, Context } from "elysia";
import { z } from "zod";
import type { Limits } from "../config/limits.ts";
import type { Node } from "../replication/node.ts";
import { AppError } from "../util/app-error.ts";
import type { AnswerParts } from "../engine/workers/answer-parts.ts";
import {
  type Endpoint,
  type Endpoints,
  type Immutable,
  momentHeader,
  type ParameterIn,
  type ResponseOf,
} from "./endpoint.ts";
import { bodyReader, forwardGuard, guardOf, refuseMoment } from "./middleware/access.ts";
import { beginEndpoint, type Exchange, exchangeOf } from "./middleware/exchange.ts";
import type { BodyOf, BodyParser } from "./request/body-parser.ts";
import { validatingSchema } from "./request/schema-error.ts";
import { forwardWrite, refuseWrite } from "./write-forwarding.ts";

/** A request whose sender may do it. Its exchange is that of `request` (`exchangeOf`). */
export interface Call<E extends Endpoint = Endpoint> {
  readonly request: Request;
  /** The parameters in the path, decoded. */
  readonly params: Readonly<Record<ParameterIn<E["path"]>, string>>;
  readonly query: E extends { readonly query: () => infer Schema extends z.ZodType }
    ? E extends { readonly readsQuery: true }
      ? Readonly<Record<string, string>>
      : z.output<Schema>
    : unknown;
  /** The parsed body; undefined of an endpoint that is open to everybody, which reads its body itself. */
  readonly body: E extends { readonly body: infer Name extends NonNullable<Endpoint["body"]> } ? BodyOf<Name> : unknown;
  readonly path: string;
  /** The status and the headers of a response that is an object. */
  readonly set: Pick<Context["set"], "status" | "headers">;
}

/** What becomes the response: the JSON that is declared, JSON text in parts, or a response that is made already. */
type Answer<E extends Endpoint> = Immutable<ResponseOf<E>> | AnswerParts | Response;

/** AppErrors become responses as well. */
export type Handler<E extends Endpoint> = (call: Call<E>) => Answer<E> | Promise<Answer<E>>;

/** The handler of each endpoint. Those that only `ostiary dev` has may be missing. */
export type Handlers<Declared extends Endpoints> = {
  readonly [Id in keyof Declared]:
    Handler<Declared[Id]> | (Declared[Id] extends { readonly isDevelopment: true } ? undefined : never);
};

/** Does everything from access control to the response. */
export type WholeHandler = (exchange: Exchange, request: Request) => Promise<Response>;

export interface RouterParts {
  readonly node: Node;
  readonly limits: Limits;
  readonly bodies: BodyParser;
  /** Whether the node is one of another environment than the default one. */
  readonly isHosted: boolean;
}

export class Router {
  readonly #parts: RouterParts;
  readonly #app: AnyElysia;

  /** `app` gets the routes. */
  constructor(parts: RouterParts, app: AnyElysia) {
    this.#parts = parts;
    this.#app = app;
  }

  /** Adds the routes of a feature. `past` handles requests with `momentHeader`, of endpoints that have a moment. */
  serve<Declared extends Endpoints>(declared: Declared, handlers: Handlers<Declared>, past?: Handlers<Declared>): this {
    for (const [id, endpoint] of Object.entries(declared)) {
      const handler = handlers[id];
      if (handler === undefined) continue;
      const present = handler as unknown as Handler<Endpoint>;
      this.#add(endpoint, past === undefined ? present : atMoment(present, past[id] as unknown as Handler<Endpoint>));
    }
    return this;
  }

  /** Adds a route whose handler does all work itself, which saves time. */
  serveWhole(endpoint: Endpoint, handle: WholeHandler): this {
    this.#route(endpoint, (request) => handle(exchangeOf(request), request));
    return this;
  }

  #add(endpoint: Endpoint, handler: Handler<Endpoint>): void {
    const { node, limits, bodies, isHosted } = this.#parts;
    const { method, path, kind, role, appliance, query } = endpoint;
    if (isHosted && appliance !== undefined) return this.#route(endpoint, refuseHosted(node, endpoint, appliance));
    // They give the same answers in all environments, so only the default one gives them.
    if (isHosted && role === undefined) return;
    if (kind === "write" && node.writes === undefined)
      return this.#route(
        endpoint,
        node.forward === undefined
          ? refuseWrite(node, endpoint)
          : forwardWrite(node, node.forward, limits, bodies, endpoint),
      );
    const hooks: object = {
      parse: "none",
      transform: role === undefined ? open(endpoint) : admit(endpoint, role, this.#parts),
      ...(query !== undefined && { query: querySchemaOf(endpoint, query) }),
    };
    // Elysia looks at the text of a function: whether it is asynchronous, and which properties of the context it needs.
    const handle = async ({ body, params, path: asked, query: given, request, set }: Context) =>
      handler({ body, params, path: asked, query: given, request, set });
    this.#app.route(method, path, handle as () => unknown, hooks);
  }

  #route({ method, path }: Endpoint, handle: (request: Request) => Promise<Response>): void {
    this.#app.route(method, path, ({ request }) => handle(request), { parse: "none" });
  }
}

/** The schemas that check query strings. All environments share them. */
const querySchemas = new WeakMap<Endpoint, z.ZodType>();
const texts = z.record(z.string(), z.string());

function querySchemaOf(endpoint: Endpoint, query: NonNullable<Endpoint["query"]>): z.ZodType {
  const made = querySchemas.get(endpoint) ?? validatingSchema("query", endpoint.readsQuery === true ? texts : query());
  querySchemas.set(endpoint, made);
  return made;
}

function open(endpoint: Endpoint) {
  return ({ request }: Context): void => beginEndpoint(exchangeOf(request), endpoint);
}

/** Checks the sender, then reads and parses the body. */
function admit(endpoint: Endpoint, role: NonNullable<Endpoint["role"]>, { node, limits, bodies }: RouterParts) {
  const guard = guardOf(node, endpoint, role);
  const readBody = bodyReader(endpoint, limits);
  return async (context: Context): Promise<void> => {
    const { request } = context;
    const exchange = exchangeOf(request);
    beginEndpoint(exchange, endpoint);
    const access = guard(exchange, request);
    if (access !== undefined) await access;
    refuseMoment(endpoint, request);
    const body = await readBody(exchange, request);
    const params = Object.entries<string | null>(context.params ?? {});
    // Elysia gives null for malformed percent-encoding.
    const malformed = params.find(([, value]) => value === null);
    if (malformed !== undefined)
      throw new AppError("invalid_request", `the ${malformed[0]} in the path is not percent-encoded UTF-8`);
    if (endpoint.method === "GET") return;
    // The first parameter is what the request changes. The audit log names it even if the body is refused.
    const [target] = params;
    if (target !== undefined) exchange.audited = { target: target[1] };
    context.body = await bodies.parse(endpoint.body ?? "nothing", body);
  };
}

/** Handles requests with `momentHeader` in another way. */
function atMoment(present: Handler<Endpoint>, past: Handler<Endpoint>): Handler<Endpoint> {
  return (call) => (call.request.headers.has(momentHeader) ? past(call) : present(call));
}

/** Only valid keys learn that this is another environment. */
function refuseHosted(node: Node, endpoint: Endpoint, reason: string) {
  const requireKey = forwardGuard(node);
  return async (request: Request): Promise<never> => {
    const exchange = exchangeOf(request);
    beginEndpoint(exchange, endpoint);
    await requireKey(exchange, request, "read");
    throw new AppError("forbidden", reason);
  };
}
