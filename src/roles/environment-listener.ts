/**
 * The listener of a process that hosts several environments. It passes each request to the service of its environment:
 * the one that the API key names, or the header `Ostiary-Environment` for a person's token, or the path for a request of
 * another node. All other requests, those for unknown environments, and those for the health of the node go to the
 * default environment, so that nobody learns from an answer without a valid key which environments there are.
 */
import type { Listener, ServeOptions, WebSocketEndpoint } from "../runtime/serve.ts";
import { environmentHeader } from "../http/middleware/access.ts";
import { healthPaths } from "../http/routes/health.ts";
import type { System } from "../replication/system.ts";
import { inEnvironment } from "../telemetry/current-environment.ts";
import { sleep, type Clock } from "../util/clock.ts";
import { pathOf, pathStart } from "../util/request-url.ts";
import { registryEnvironment } from "./environment-registry.ts";
import { EnvironmentTurns } from "./environment-turns.ts";

type Fetch = ServeOptions["fetch"];
type Connections = Parameters<Fetch>[1];

interface Service {
  readonly options: ServeOptions;
  readonly mayKnow: KeyCheck;
  /** Whether a request with a key that it may know has arrived. */
  isUsed: boolean;
  inFlight: number;
}

/** Whether the environment has this API key, or cannot say it. */
export type KeyCheck = (key: string) => boolean;

/** The start of the paths for requests of other nodes about a hosted environment. */
export const environmentPaths = "/environments/";

const nodePaths = "/replication/";
const keyPrefix = "e_";
const drainPollMs = 10;

export class EnvironmentListener {
  readonly #defaultEnvironment: string;
  /** Whether requests for an environment without a service are refused with 503, because it may have one soon. */
  readonly #isExpected: (environment: string) => boolean;
  readonly #system: Pick<System, "serve" | "clock">;
  readonly #services = new Map<string, Service>();
  readonly #turns: EnvironmentTurns;
  #default: ServeOptions | undefined;
  #url = "";

  constructor(
    defaultEnvironment: string,
    isExpected: (environment: string) => boolean,
    system: Pick<System, "serve" | "clock">,
  ) {
    this.#defaultEnvironment = defaultEnvironment;
    this.#isExpected = isExpected;
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
  serveHosted(environment: string, options: ServeOptions, mayKnow: KeyCheck): Listener {
    const service: Service = { options, mayKnow, isUsed: false, inFlight: 0 };
    this.#services.set(environment, service);
    return {
      port: Number(new URL(this.#url).port),
      url: this.#url,
      stop: async () => {
        this.#services.delete(environment);
        await waitUntilIdle(service, options.stopGraceMs ?? 0, this.#system.clock);
      },
    };
  }

  /** All primaries of the process share the broker, so any of them can take the connection. */
  #webSocket(): WebSocketEndpoint | undefined {
    const others = [...this.#services.values()].map(({ options }) => options);
    return [this.#default, ...others].map((options) => options?.websocket).find((endpoint) => endpoint !== undefined);
  }

  readonly #dispatch: Fetch = (request, connections) => {
    const { fetch } = this.#default as ServeOptions;
    const path = pathStart(request.url);
    if (request.url.startsWith(environmentPaths, path)) return this.#dispatchNode(request, path, connections);
    const { environment, key } = addressed(request);
    if (environment === undefined || environment === this.#defaultEnvironment) {
      if (this.#services.size === 0) return fetch(request, connections);
      return this.#turns.take(this.#defaultEnvironment, () => fetch(request, connections));
    }
    const isOfDefault = environment === registryEnvironment || healthPaths.has(pathOf(request.url).replace(/\/$/, ""));
    if (isOfDefault) return fetch(request, connections);
    const service = this.#services.get(environment);
    if (service !== undefined) {
      // Its first request makes its API, which takes ten milliseconds. A wrong key must not show that it exists.
      if (!service.isUsed && key !== undefined && !service.mayKnow(key)) return fetch(request, connections);
      service.isUsed = true;
      return this.#turns.take(environment, () => this.#run(environment, service, request, connections));
    }
    return this.#isExpected(environment) ? startingResponse() : fetch(request, connections);
  };

  /**
   * `/environments/<id>/replication/…`: the service gets the path behind the id, and authenticates the other node. For
   * an unknown environment the default one does so, and then says that there is nothing. That answer is final for the
   * other node, so a node that starts or stops does not give it.
   */
  #dispatchNode(request: Request, path: number, connections: Connections): Response | Promise<Response> {
    const { url } = request;
    const begin = path + environmentPaths.length;
    const end = url.indexOf("/", begin);
    const environment = url.slice(begin, end);
    const service = this.#services.get(environment);
    const isOfNode = url.startsWith(nodePaths, end);
    if (!isOfNode) return (this.#default as ServeOptions).fetch(request, connections);
    if (service === undefined && this.#isExpected(environment)) return startingResponse();
    const pathname = service === undefined ? `${nodePaths}v1/unknown-environment` : url.slice(end);
    const inner = new Request(url.slice(0, path) + pathname, request);
    if (service === undefined) return (this.#default as ServeOptions).fetch(inner, connections);
    return this.#run(environment, service, inner, connections);
  }

  #run(
    environment: string,
    service: Service,
    request: Request,
    connections: Connections,
  ): Response | Promise<Response> {
    service.inFlight += 1;
    const response = inEnvironment(environment, () => service.options.fetch(request, connections));
    if (response instanceof Promise) return response.finally(() => (service.inFlight -= 1));
    service.inFlight -= 1;
    return response;
  }
}

/** The environment that the request names, and the API key that does so. */
function addressed({ headers }: Request): { readonly environment: string | undefined; readonly key?: string } {
  const authorization = headers.get("authorization") ?? "";
  const begin = authorization.lastIndexOf(" ") + 1;
  if (!authorization.startsWith(keyPrefix, begin)) return { environment: headers.get(environmentHeader) ?? undefined };
  const key = authorization.slice(begin);
  // The id of a hosted environment contains no `_`. That of the default one may.
  return { environment: key.slice(keyPrefix.length, key.indexOf("_", keyPrefix.length)), key };
}

async function waitUntilIdle(service: Service, graceMs: number, clock: Clock): Promise<void> {
  const endMs = clock.monotonicMs() + graceMs;
  while (service.inFlight > 0 && clock.monotonicMs() < endMs) await sleep(clock, drainPollMs);
}

function startingResponse(): Response {
  const message = "this node is starting its environments: ask again in a moment, or ask another node";
  return Response.json({ message, code: "not_ready" }, { status: 503, headers: { "Retry-After": "1" } });
}
