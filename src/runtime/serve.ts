/**
 * The HTTP listener. One port serves the API and, if a broker is embedded, MQTT over WebSocket. The broker needs a node
 * stream for each connection, so `onConnection` gets one.
 */
import type { Duplex } from "node:stream";
import { platform } from "#platform";
import { AppError } from "../util/app-error.ts";
import { pathOf } from "../util/request-url.ts";
import { connectionTable, type ConnectionTable } from "./accepted-connections.ts";
import type {
  HttpServer,
  ListenOptions,
  PeerAddress,
  RequestConnections,
  ServerTls,
  WebSocketUpgrade,
} from "./platform.ts";
import { type ListenerThreads, listenOnThreads, type ThreadedServer } from "./listener-threads.ts";
import { listenRenewably, type RenewableServer } from "./renewable-listener.ts";
import { asksForUpgrade } from "./web-socket-duplex.ts";

export interface ServeOptions {
  readonly hostname: string;
  /** 0 chooses a free port; the result has its number. */
  readonly port: number;
  readonly fetch: (request: Request, connections: RequestConnections) => Response | Promise<Response>;
  readonly websocket?: WebSocketEndpoint | undefined;
  /** The runtime may reject larger bodies with an empty 413. The smaller limits of the application answer with a message. */
  readonly bodyBytesMax?: number;
  /** A connection without traffic is closed after this time. It must exceed the longest wait of a request. */
  readonly idleTimeoutMs?: number;
  /** How long `stop` waits for requests before it closes their connections. */
  readonly stopGraceMs?: number;
  /** The number of requests without a response; for a service behind the listener of another one. */
  readonly inFlight?: () => number;
  /** The flag of the port, for messages. */
  readonly portFlag?: string;
  /** With it, the port speaks TLS only. */
  readonly tls?: ServerTls | undefined;
  /** Threads that listen instead of this one. Without effect for TLS, and where connections cannot be spread. */
  readonly threads?: ListenerThreads | undefined;
}

export interface WebSocketEndpoint {
  readonly path: string;
  /** Confirmed if the client offers it (MQTT clients require `mqtt`). */
  readonly subprotocol: string;
  readonly onConnection: (duplex: Duplex) => void;
  readonly messageBytesMax?: number;
}

export interface Listener {
  readonly port: number;
  readonly url: string;
  /** Its connections; undefined if the system does not list them. */
  readonly connections?: ConnectionTable | undefined;
  /** See `RenewableServer`; undefined without TLS. */
  readonly renew?: RenewableServer["renew"] | undefined;
  /** Resolves when it can be asked. Rejects with an AppError. By default that is so at once. */
  readonly ready?: Promise<void> | undefined;
  /** Stops listening, closes the WebSockets, and waits a limited time for the requests in flight. */
  stop(): Promise<void>;
}

/** Whether the runtime can ask the clients of a listener for certificates. */
export const { verifiesClients } = platform;

const mebibyte = 1024 * 1024;

/** Starts to listen. Throws if the port is taken or the address does not belong to this machine. */
export function serve(options: ServeOptions): Listener {
  const open = new Set<Duplex>();
  const server = listen(options, open, (peers) => endConnections(connections, peers));
  let { tls } = options;
  const connections = connectionTable(server.port, () => (tls === undefined ? 0 : handshakeBytesOf(tls)));
  return {
    port: server.port,
    url: localUrl(options.hostname, server.port, tls === undefined ? "http" : "https"),
    connections,
    renew:
      "renew" in server
        ? (next, onFailure) => {
            server.renew(next, onFailure);
            tls = next;
          }
        : undefined,
    ready: "ready" in server ? server.ready.catch((error: unknown) => throwListenError(options, error)) : undefined,
    stop: () => stopGently(server, open, options.stopGraceMs ?? 10_000),
  };
}

/** Ends the connections of some peers, or all. */
function endConnections(table: ConnectionTable | undefined, peers: readonly PeerAddress[] | undefined): void {
  const ending = peers && new Set(peers.map(nameOf));
  for (const connection of table?.accepted() ?? []) if (ending?.has(nameOf(connection)) ?? true) table?.end(connection);
}

/** With IPv6 addresses in their shortest form, as hosts of URLs have them. */
function nameOf({ address, port }: PeerAddress): string {
  return `${address.includes(":") ? new URL(`http://[${address}]`).hostname : address} ${port}`;
}

/**
 * The most bytes of a handshake besides the certificates: hello, signature, tickets. They are about 1,330 with a key of
 * 2,048 bits. If it were less, a client that only made a handshake would count as one that got a response.
 */
const handshakeBytesMax = 2048;

/** How many bytes a client gets before the first response, at most. The base64 of PEM has 4 characters for 3 bytes. */
function handshakeBytesOf({ cert }: ServerTls): number {
  return handshakeBytesMax + Math.floor(cert.length * 0.75);
}

function listen(
  options: ServeOptions,
  open: Set<Duplex>,
  end: ListenOptions["endConnections"],
): HttpServer | RenewableServer | ThreadedServer {
  const { tls, threads } = options;
  try {
    const listening: ListenOptions = {
      hostname: options.hostname,
      port: options.port,
      fetch: options.fetch,
      bodyBytesMax: options.bodyBytesMax ?? 64 * mebibyte,
      idleTimeoutMs: options.idleTimeoutMs ?? 120_000,
      // The endpoint is read for upgrades only: it is made at each access, because the role of a node can change.
      upgradeOf: (request) => (asksForUpgrade(request) ? upgradeOf(request, options.websocket, open) : undefined),
      messageBytesMax: options.websocket?.messageBytesMax ?? mebibyte,
      endConnections: end,
    };
    if (tls !== undefined) return listenRenewably({ ...listening, tls });
    return threads === undefined ? platform.listen(listening) : listenOnThreads(listening, threads);
  } catch (error) {
    return throwListenError(options, error);
  }
}

function throwListenError(options: ServeOptions, error: unknown): never {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const reason = listenProblems[code]?.replace("--port", options.portFlag ?? "--port") ?? (error as Error).message;
  throw new AppError("not_ready", `can't listen on ${options.hostname}:${options.port}: ${reason}`, { cause: error });
}

function upgradeOf(
  request: Request,
  endpoint: WebSocketEndpoint | undefined,
  open: Set<Duplex>,
): WebSocketUpgrade | undefined {
  if (endpoint === undefined || pathOf(request.url) !== endpoint.path) return undefined;
  const offered = request.headers.get("sec-websocket-protocol")?.split(",") ?? [];
  const isOffered = offered.some((name) => name.trim() === endpoint.subprotocol);
  return {
    subprotocol: isOffered ? endpoint.subprotocol : undefined,
    onOpen(duplex) {
      open.add(duplex);
      duplex.once("close", () => open.delete(duplex));
      endpoint.onConnection(duplex);
    },
  };
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program uses this port; choose another with `--port`, or end that program",
  EADDRNOTAVAIL: "this machine does not have this address; choose another with `--host`",
  EACCES: "this user may not listen there; choose a port from 1024 on with `--port`",
};

async function stopGently(server: HttpServer, open: Set<Duplex>, graceMs: number): Promise<void> {
  const closed = server.stop();
  for (const duplex of open) duplex.destroy();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), graceMs);
  });
  const outcome = await Promise.race([closed, late]);
  clearTimeout(timer);
  if (outcome === "late") await server.abort();
}

/** All interfaces, and the loopback address of the same protocol: a machine can lack the other one. */
const loopbackOf: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** The address of a listener for clients on this machine: loopback for a listener on all interfaces. */
export function localUrl(hostname: string, port: number, scheme: "http" | "https" = "http"): string {
  const host = loopbackOf[hostname] ?? hostname;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
