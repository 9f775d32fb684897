/**
 * The HTTP listener. One port serves the API and, if a broker is embedded, MQTT over WebSocket. The broker needs a node
 * stream for each connection, so `onConnection` gets one. `development` is false, because Bun's own error page shows
 * source code.
 */
import type { Duplex } from "node:stream";
import { AppError } from "../util/app-error.ts";
import { pathOf } from "../util/request-url.ts";
import { connectionTable, type ConnectionTable } from "./accepted-connections.ts";
import { WebSocketDuplex } from "./web-socket-duplex.ts";

export interface ServeOptions {
  readonly hostname: string;
  /** 0 chooses a free port; the result has its number. */
  readonly port: number;
  readonly fetch: (request: Request, close: CloseConnection) => Response | Promise<Response>;
  readonly websocket?: WebSocketEndpoint | undefined;
  /** Bun rejects larger bodies with an empty 413. The smaller limits of the application answer with a message. */
  readonly bodyBytesMax?: number;
  /** A connection without traffic is closed after this time. It must exceed the longest wait of a request. */
  readonly idleTimeoutMs?: number;
  /** How long `stop` waits for requests before it closes their connections. */
  readonly stopGraceMs?: number;
}

/** Closes the connection of a request within some seconds, even if the peer reads nothing of the response. */
export type CloseConnection = (received: Request) => void;

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
  /** Stops listening, closes the WebSockets, and waits a limited time for the requests in flight. */
  stop(): Promise<void>;
}

const idleTimeoutMsMax = 255_000; // the limit of Bun
/** Bun cannot close the connection of a request, but it closes a connection without traffic for this time. */
const closeAfterSeconds = 1;
const mebibyte = 1024 * 1024;

interface WebSocketData {
  duplex: WebSocketDuplex | undefined;
}

/** Starts to listen. Throws if the port is taken or the address does not belong to this machine. */
export function serve(options: ServeOptions): Listener {
  const open = new Set<WebSocketDuplex>();
  const server = listen(options, open);
  const port = server.port ?? options.port;
  return {
    port,
    url: localUrl(options.hostname, port),
    connections: connectionTable(port),
    stop: () => stopGently(server, open, options.stopGraceMs ?? 10_000),
  };
}

function listen(options: ServeOptions, open: Set<WebSocketDuplex>): Bun.Server<WebSocketData> {
  try {
    return bunServe(options, open);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const reason = listenProblems[code] ?? (error as Error).message;
    throw new AppError("not_ready", `can't listen on ${options.hostname}:${options.port}: ${reason}`, { cause: error });
  }
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program uses this port; choose another with `--port`, or end that program",
  EADDRNOTAVAIL: "this machine does not have this address; choose another with `--host`",
  EACCES: "this user may not listen there; choose a port from 1024 on with `--port`",
};

function bunServe(options: ServeOptions, open: Set<WebSocketDuplex>): Bun.Server<WebSocketData> {
  let close: CloseConnection | undefined;
  return Bun.serve<WebSocketData>({
    hostname: options.hostname,
    port: options.port,
    // Otherwise Bun shares the port with another process that does the same, and two nodes would answer in turns.
    reusePort: false,
    development: false,
    idleTimeout: Math.min(options.idleTimeoutMs ?? 120_000, idleTimeoutMsMax) / 1000,
    maxRequestBodySize: options.bodyBytesMax ?? 64 * mebibyte,
    fetch(request, bun) {
      const endpoint = asksForUpgrade(request) ? options.websocket : undefined;
      if (endpoint === undefined || pathOf(request.url) !== endpoint.path)
        return options.fetch(request, (close ??= connectionCloser(bun)));
      if (bun.upgrade(request, { data: { duplex: undefined }, headers: upgradeHeaders(request, endpoint) })) return;
      return Response.json(
        { message: "a WebSocket upgrade was expected" },
        { status: 426, headers: { Upgrade: "websocket" } },
      );
    },
    error: () => Response.json({ message: "internal error" }, { status: 500 }),
    websocket: {
      maxPayloadLength: options.websocket?.messageBytesMax ?? mebibyte,
      // The broker limits what waits for a slow reader (its drain time-out). Dropping frames would break the MQTT
      // stream.
      backpressureLimit: 64 * mebibyte,
      closeOnBackpressureLimit: true,
      open(socket) {
        const duplex = new WebSocketDuplex(socket);
        socket.data.duplex = duplex;
        open.add(duplex);
        duplex.once("close", () => open.delete(duplex));
        options.websocket?.onConnection(duplex);
      },
      message: (socket, message) => socket.data.duplex?.receive(message),
      drain: (socket) => socket.data.duplex?.drained(),
      close: (socket) => socket.data.duplex?.closedByPeer(),
    },
  });
}

function connectionCloser(bun: Bun.Server<WebSocketData>): CloseConnection {
  return (received) => bun.timeout(received, closeAfterSeconds);
}

function asksForUpgrade(request: Request): boolean {
  return request.method === "GET" && request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

function upgradeHeaders(request: Request, endpoint: WebSocketEndpoint): Record<string, string> {
  const offered = request.headers.get("sec-websocket-protocol")?.split(",") ?? [];
  const accepted = offered.some((name) => name.trim() === endpoint.subprotocol);
  return accepted ? { "Sec-WebSocket-Protocol": endpoint.subprotocol } : {};
}

async function stopGently(
  server: Bun.Server<WebSocketData>,
  open: Set<WebSocketDuplex>,
  graceMs: number,
): Promise<void> {
  const closed = server.stop();
  for (const duplex of open) duplex.destroy();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), graceMs);
  });
  const outcome = await Promise.race([closed, late]);
  clearTimeout(timer);
  if (outcome === "late") await server.stop(true);
}

/** The address of a listener for clients on this machine: loopback for a listener on all interfaces. */
export function localUrl(hostname: string, port: number): string {
  const host = hostname === "0.0.0.0" || hostname === "::" ? "127.0.0.1" : hostname;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
