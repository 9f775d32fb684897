/**
 * The listener of a process that hosts several environments. It passes each request to the service of its environment:
 * the one that the API key names, or the header `Ostiary-Environment` for a person's token, or the path for a request of
 * another node. All requests of senders that the environment does not know, and those that need no key, go to the default
 * environment (`admission.ts`).
 */
import type { Listener, ServeOptions, WebSocketEndpoint } from "../runtime/serve.ts";
import { environmentHeader, isApiKey } from "../http/middleware/access.ts";
import { isOpenPath } from "../features/all-endpoints.ts";
import type { System } from "../replication/system.ts";
import { inEnvironment } from "../telemetry/current-environment.ts";
import { sleep, type Clock } from "../util/clock.ts";
import { pathOf, pathStart } from "../util/request-url.ts";
import { registryEnvironment } from "./registry.ts";
import type { Admission, EnvironmentAdmission } from "./admission.ts";
import { EnvironmentTurns } from "./turns.ts";

type Fetch = ServeOptions["fetch"];
type Connections = Parameters<Fetch>[1];

/** Who may enter the environments of the process. */
export type Admissions = Pick<EnvironmentAdmission, "of" | "isOfNode">;

/** What this node says about environments without a service. */
export interface UnknownEnvironments {
  /** Why this node cannot know all environments; undefined if it knows them. */
  whyIncomplete(): string | undefined;
  /** Headers of a response 503 to another node that asks for the environment. */
  headers(environment: string): Readonly<Record<string, string>>;
}

/** The start of the paths for requests of other nodes about a hosted environment. */
export const environmentPaths = "/environments/";

const nodePaths = "/replication/";
const keyPrefix = "e_";
const drainPollMs = 10;

export class EnvironmentListener {
  readonly #defaultEnvironment: string;
  /** Whether requests for an environment without a service are refused with 503, because it may have one soon. */
  readonly #isExpected: (environment: string) => boolean;
  readonly #admissions: Admissions;
  readonly #unknown: UnknownEnvironments;
  /** How the header of most requests begins: that of a key of the default environment. */
  readonly #defaultKeys: string | undefined;
  readonly #system: Pick<System, "serve" | "clock">;
  readonly #services = new Map<string, ServeOptions>();
  readonly #turns: EnvironmentTurns;
  #default: ServeOptions | undefined;
  #url = "";

  constructor(
    defaultEnvironment: string,
    isExpected: (environment: string) => boolean,
    admissions: Admissions,
    system: Pick<System, "serve" | "clock">,
    unknown: UnknownEnvironments = { whyIncomplete: () => undefined, headers: () => ({}) },
  ) {
    this.#defaultEnvironment = defaultEnvironment;
    if (!defaultEnvironment.includes("_")) this.#defaultKeys = `Bearer ${keyPrefix}${defaultEnvironment}_`;
    this.#isExpected = isExpected;
    this.#admissions = admissions;
    this.#unknown = unknown;
    this.#system = system;
    this.#turns = new EnvironmentTurns(system.clock);
  }

  /** As `serve` of the system, for the default environment: opens the port. */
  readonly serveDefault = (options: ServeOptions): Listener => {
    this.#default = options;
    const webSocket = (): WebSocketEndpoint | undefined => this.#webSocket();
    const listener = this.#system.serve({
      ...options,
      fetch: this.#dispatch,
      get websocket() {
        return webSocket();
      },
    });
    this.#url = listener.url;
    return listener;
  };

  /** As `serve` of the system, for a hosted environment: it has no port of its own. */
  serveHosted(environment: string, options: ServeOptions): Listener {
    this.#services.set(environment, options);
    return {
      port: Number(new URL(this.#url).port),
      url: this.#url,
      stop: async () => {
        this.#services.delete(environment);
        await waitUntilIdle(options, options.stopGraceMs ?? 0, this.#system.clock);
      },
    };
  }

  /** All primaries of the process share the broker, so any of them can take the connection. */
  #webSocket(): WebSocketEndpoint | undefined {
    return [this.#default, ...this.#services.values()]
      .map((options) => options?.websocket)
      .find((endpoint) => endpoint !== undefined);
  }

  readonly #dispatch: Fetch = (request, connections) => {
    const { fetch } = this.#default as ServeOptions;
    const path = pathStart(request.url);
    if (request.url.startsWith(environmentPaths, path)) return this.#dispatchNode(request, path, connections);
    const authorization = request.headers.get("authorization") ?? "";
    if (this.#defaultKeys !== undefined && authorization.startsWith(this.#defaultKeys))
      return this.#toDefault(request, connections);
    const environment = addressed(request, authorization);
    if (environment === undefined || environment === this.#defaultEnvironment || environment === registryEnvironment)
      return this.#toDefault(request, connections);
    if (isOpenPath(pathOf(request.url))) return fetch(request, connections);
    const admission = this.#admissions.of(environment, authorization, request);
    if (admission instanceof Promise)
      return admission.then((settled) => this.#enter(environment, settled, request, connections));
    return this.#enter(environment, admission, request, connections);
  };

  #toDefault(request: Request, connections: Connections): Response | Promise<Response> {
    const { fetch } = this.#default as ServeOptions;
    if (this.#services.size === 0) return fetch(request, connections);
    return this.#turns.take(this.#defaultEnvironment, () => fetch(request, connections));
  }

  #enter(
    environment: string,
    admission: Admission,
    request: Request,
    connections: Connections,
  ): Response | Promise<Response> {
    if (admission === "refused") return this.#toDefault(request, connections);
    const service = this.#services.get(environment);
    if (admission === "starting" || service === undefined)
      return notReadyResponse(this.#unknown.whyIncomplete() ?? startingText);
    return this.#turns.take(environment, () => this.#run(environment, service, request, connections));
  }

  /**
   * `/environments/<id>/replication/…`: the service gets the path behind the id, and authenticates the other node. For
   * a sender without the node key, and for an unknown environment, the default one does so, and then says that there is
   * nothing. That answer is final for the other node, so a node that starts or stops does not give it.
   */
  #dispatchNode(request: Request, path: number, connections: Connections): Response | Promise<Response> {
    const { url } = request;
    const begin = path + environmentPaths.length;
    const end = url.indexOf("/", begin);
    const environment = url.slice(begin, end);
    if (!url.startsWith(nodePaths, end)) return (this.#default as ServeOptions).fetch(request, connections);
    const isOfNode = this.#admissions.isOfNode(request);
    const service = isOfNode ? this.#services.get(environment) : undefined;
    if (isOfNode && service === undefined && this.#isExpected(environment))
      return notReadyResponse(startingText, this.#unknown.headers(environment));
    const pathname = service === undefined ? `${nodePaths}v1/unknown-environment` : url.slice(end);
    const inner = new Request(url.slice(0, path) + pathname, request);
    if (service === undefined) return (this.#default as ServeOptions).fetch(inner, connections);
    return this.#run(environment, service, inner, connections);
  }

  #run(
    environment: string,
    service: ServeOptions,
    request: Request,
    connections: Connections,
  ): Response | Promise<Response> {
    return inEnvironment(environment, () => service.fetch(request, connections));
  }
}

/** The environment that a request with this credential names. */
function addressed({ headers }: Request, authorization: string): string | undefined {
  if (!isApiKey(authorization)) return headers.get(environmentHeader) ?? undefined;
  const begin = authorization.lastIndexOf(" ") + 1 + keyPrefix.length;
  // The id of a hosted environment contains no `_`. That of the default one may.
  return authorization.slice(begin, authorization.indexOf("_", begin));
}

async function waitUntilIdle({ inFlight }: ServeOptions, graceMs: number, clock: Clock): Promise<void> {
  const endMs = clock.monotonicMs() + graceMs;
  while ((inFlight?.() ?? 0) > 0 && clock.monotonicMs() < endMs) await sleep(clock, drainPollMs);
}

const startingText = "this node is starting its environments: ask again in a moment, or ask another node";

function notReadyResponse(message: string, headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json({ message, code: "not_ready" }, { status: 503, headers: { "Retry-After": "1", ...headers } });
}
