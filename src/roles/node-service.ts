/**
 * The service of a running node, for all roles: it listens, passes on requests when the node is replaced by one of
 * another role, and stops without losing requests.
 */
import type { Config } from "../config/config.ts";
import { DecisionLog } from "../decisions/decision-log.ts";
import { authenticate } from "../engine/authenticate.ts";
import { type App, createApp } from "../features/app.ts";
import { ParityLog } from "../http/parity/parity-log.ts";
import type { Node } from "../replication/node.ts";
import { bearerIn, knowsKey } from "../http/middleware/access.ts";
import { People } from "../http/oidc/people.ts";
import { watchNewestBackup } from "../replication/backup/newest-backup.ts";
import { listStoredBackups } from "../replication/backup/stored-backups.ts";
import { nodeKeyHashesOf } from "../replication/identity.ts";
import type { ServeConsole } from "../http/console.ts";
import type { RedeemLoginCode } from "../features/people/handle.ts";
import type { Environments } from "../http/environments.ts";
import { currentEnvironment } from "../telemetry/current-environment.ts";
import { MetricHistory } from "../telemetry/metric-history.ts";
import { recentTraces } from "../telemetry/recent-traces.ts";
import { realSystem, type System } from "../replication/system.ts";
import { renewedAuthority } from "../replication/renewed-tls-files.ts";
import { sleep } from "../util/clock.ts";
import { AnsweringThreads } from "../threads/answering-threads.ts";
import { answeringThreadsOf } from "../threads/thread-count.ts";
import { limitConnections } from "./connection-limit.ts";
import { exposeNode, readNode } from "./node-metrics.ts";

export interface RunningNode {
  readonly url: string;
  /** The node that answers now. */
  node(): Node;
  /** See `knowsKey`; during a change of the role, the next node says it. `isForwarded`: whether an edge forwards the request. */
  knowsKey(authorization: string, isForwarded: () => boolean): boolean | undefined | Promise<boolean | undefined>;
  /** New requests wait for the next node. Resolves when the earlier ones, but for `besides`, end or after 1 s. */
  drain(besides: number): Promise<void>;
  /** There is no next node yet: requests that wait for it fail, and so do new requests until `replace`. */
  failWaiting(): void;
  /** A node of another role answers from now on, at the same address. */
  replace(node: Node): void;
  /** Refuses new requests, ends streams, and finishes the requests in flight. */
  stop(): Promise<void>;
}

/** The throw-away environments of a node for development. */
export interface TestEnvironments {
  /** Creates an empty one, or a copy of the node's environment. Resolves with its API key. */
  create(isCopy: boolean): Promise<string>;
  /** The API for a request with the key of one of them. */
  appFor(request: Request): App | undefined;
  close(): Promise<void>;
}

export interface ServiceOptions {
  /** They answer requests with their API keys, and are closed with the node. */
  readonly testEnvironments?: TestEnvironments | undefined;
  /** Accepts the one-time codes of `ostiary dev`. */
  readonly redeemLoginCode?: RedeemLoginCode | undefined;
  /** For the default environment of a process that can host others. */
  readonly environments?: Environments | undefined;
  /** Whether this is another environment than the default one of the process. Its API is made at the first request. */
  readonly isHosted?: boolean;
  /** Those of the process. Without them, the service has its own ones. */
  readonly people?: People | undefined;
}

/** Serves the node's API, and MQTT over WebSocket with an embedded broker. It does not stop the node. */
export async function serveNode(
  config: Config,
  first: Node,
  system: Pick<System, "serve" | "spreadsConnections" | "clock" | "fetch"> = realSystem,
  options: ServiceOptions = {},
): Promise<RunningNode> {
  const { testEnvironments } = options;
  const { host, port, limits } = config;
  const decisions = new DecisionLog(config, system.clock);
  const history = new MetricHistory(system.clock);
  try {
    const isAlone = options.isHosted === true || testEnvironments !== undefined;
    const count = isAlone ? 1 : answeringThreadsOf(config, system.spreadsConnections === true);
    const appOptions = appOptionsOf(config, () => current.node, options, { decisions, history }, system);
    const { listBackups, parity } = appOptions;
    const threads =
      count === 1
        ? undefined
        : new AnsweringThreads(config, count, () => current.node, { decisions, parity }, system.clock);
    const current = new CurrentApp(
      first,
      (node) => createApp(node, limits, appOptions),
      options,
      system.clock,
      threads,
    );
    const listener = system.serve({
      hostname: host,
      port,
      fetch: (request, connections) => current.fetch(request, connections),
      get websocket() {
        const { mqttConnection } = current.node;
        if (mqttConnection === undefined) return undefined;
        const messageBytesMax = 2 * limits.brokerPacketBytesMax;
        return { path: "/mqtt", subprotocol: "mqtt", onConnection: mqttConnection, messageBytesMax };
      },
      stopGraceMs: limits.stopGraceMs,
      inFlight: () => current.inFlight,
      threads: threads?.listeners,
    });
    await listener.ready;
    threads?.resume();
    if (!isAlone) current.rehearse();
    const newestBackup = listBackups && watchNewestBackup(() => listBackups(), system.clock);
    const unobserve = exposeNode(() => ({ ...readNode(current.node), newestBackupMs: newestBackup?.madeMs() }));
    const unguard = limitConnections(config, listener.connections, system.clock);
    history.start();
    return {
      url: listener.url,
      node: () => current.node,
      knowsKey: current.knowsKey,
      drain: (besides) => current.drain(besides),
      failWaiting: () => current.failWaiting(),
      replace: (next) => current.replace(next),
      async stop() {
        await threads?.close();
        current.close();
        await listener.stop();
        history.close();
        unguard();
        unobserve();
        newestBackup?.close();
        await testEnvironments?.close();
        await decisions.close();
      },
    };
  } catch (error) {
    await decisions.close();
    await testEnvironments?.close();
    throw error;
  }
}

/** The API of the node that answers now. While its role changes, requests wait for the next node. */
class CurrentApp {
  node: Node;
  readonly #make: (node: Node) => App;
  readonly #options: ServiceOptions;
  readonly #clock: System["clock"];
  readonly #threads: Pick<AnsweringThreads, "suspend" | "resume"> | undefined;
  #made: App | undefined;
  #change: RoleChange | undefined;

  constructor(
    node: Node,
    make: (node: Node) => App,
    options: ServiceOptions,
    clock: System["clock"],
    threads: Pick<AnsweringThreads, "suspend" | "resume"> | undefined,
  ) {
    this.node = node;
    this.#threads = threads;
    this.#make = make;
    this.#options = options;
    this.#clock = clock;
    if (options.isHosted !== true) this.#app();
  }

  fetch(request: Request, connections: Parameters<App["fetch"]>[1]): Response | Promise<Response> {
    if (this.#change === undefined)
      return (this.#options.testEnvironments?.appFor(request) ?? this.#app()).fetch(request, connections);
    return this.#change.over.then((isOver) =>
      isOver ? this.#app().fetch(request, connections) : roleChangeResponse(),
    );
  }

  get inFlight(): number {
    return this.#made?.inFlight ?? 0;
  }

  readonly knowsKey: RunningNode["knowsKey"] = (authorization, isForwarded) =>
    this.#change === undefined
      ? knowsKey(this.node, this.#findKey, authorization, isForwarded)
      : this.#change.over.then((isOver) => (isOver ? this.knowsKey(authorization, isForwarded) : undefined));

  async drain(besides: number): Promise<void> {
    this.#threads?.suspend();
    this.#change ??= startRoleChange(this.#clock);
    this.#made?.endStreams();
    const endMs = this.#clock.monotonicMs() + drainMsMax;
    while (this.inFlight > besides && this.#clock.monotonicMs() < endMs) await sleep(this.#clock, drainPollMs);
  }

  failWaiting(): void {
    this.#change?.end(false);
  }

  replace(next: Node): void {
    this.close();
    this.node = next;
    this.#made = undefined;
    if (this.#options.isHosted !== true) this.#app();
    this.#change?.end(true);
    this.#change = undefined;
    this.#threads?.resume();
  }

  /** Prepares the first question as soon as there is a database, and keeps the node from being ready meanwhile. */
  rehearse(): void {
    const { gate } = this.node.shared;
    const begin = (): void => {
      if (this.node.state() === undefined) return;
      unwatch();
      const rehearsal = this.#app().rehearse();
      gate.preparing.add(rehearsal);
      // The first question gets the same error.
      void rehearsal.catch(() => {}).finally(() => gate.preparing.delete(rehearsal));
    };
    const unwatch = gate.onChange(() => setImmediate(begin));
    begin();
  }

  close(): void {
    this.#made?.close();
  }

  #app(): App {
    return (this.#made ??= this.#make(this.node));
  }

  /** A wrong key must not make the API: that takes ten milliseconds, and would show that the environment exists. */
  readonly #findKey = (authorization: string) =>
    this.#made === undefined
      ? authenticate(this.node.engine(), bearerIn(authorization))
      : this.#made.findKey(authorization);
}

/** What the API of the node needs besides the node. */
function appOptionsOf(
  config: Config,
  node: () => Node,
  { testEnvironments, redeemLoginCode, environments, isHosted = false, people }: ServiceOptions,
  logs: { readonly decisions: DecisionLog; readonly history: MetricHistory },
  system: Pick<System, "clock" | "fetch">,
) {
  const { publicUrl, trustedProxies, oidc, backupDirectory: directory } = config;
  const environment = currentEnvironment();
  const listBackups =
    directory === undefined
      ? undefined
      : (isOfAll = false) => {
          const nodeKeyHashes = node().nodeKeyHashes ?? nodeKeyHashesOf(config);
          const of = isOfAll ? undefined : config.environment;
          return listStoredBackups({ directory, environment: of, nodeKeyHashes });
        };
  return {
    ...logs,
    parity: new ParityLog(logs.decisions),
    traces: { list: () => recentTraces.list(environment), url: config.trace.url },
    serveConsole: config.console && !isHosted ? consoleServer() : undefined,
    people: people ?? openPeople(config, system),
    createTestEnvironment: testEnvironments && ((isCopy: boolean) => testEnvironments.create(isCopy)),
    ...{ listBackups, publicUrl, oidc, environments, isHosted, redeemLoginCode, trustedProxies },
  };
}

/** The console is loaded with the first request for one of its files. */
function consoleServer(): ServeConsole {
  let serve: ((...request: Parameters<ServeConsole>) => Response) | undefined;
  return async (path, headers) => {
    serve ??= (await import("../console/console-files.ts")).openConsole();
    return serve(path, headers);
  };
}

/** Undefined without an OIDC issuer. A start does not wait for the issuer, which may be down. */
export function openPeople(config: Config, { fetch, clock }: Pick<System, "clock" | "fetch">): People | undefined {
  const { issuer, ca } = config.oidc;
  if (issuer === undefined) return undefined;
  const tls = renewedAuthority("oidcCa", ca);
  const request: System["fetch"] = async (url, init) => fetch(url, { ...init, ...(await tls.fetchOptions()) });
  const people = new People(issuer, config, request, clock);
  void people.prepare();
  return people;
}

const drainMsMax = 1000;
const drainPollMs = 5;
/** How long a request waits for the next node. */
const roleChangeMsMax = 5000;

/** The change from one node to the next. */
interface RoleChange {
  /** Resolves with whether the next node is there. */
  readonly over: Promise<boolean>;
  readonly end: (isOver: boolean) => void;
}

function startRoleChange(clock: System["clock"]): RoleChange {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const cancel = clock.after(roleChangeMsMax, () => resolve(false));
  return {
    over,
    end(isOver) {
      cancel();
      resolve(isOver);
    },
  };
}

function roleChangeResponse(): Response {
  const message = "this node is changing its role: ask again in a moment, or ask another node";
  return Response.json({ message }, { status: 503, headers: { "Retry-After": "1" } });
}
