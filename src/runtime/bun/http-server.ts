/** The HTTP listener on Bun, with the upgrade to WebSocket. */
import {
  ipv4Of,
  type HttpServer,
  type ListenOptions,
  type RequestConnections,
  type ServerTls,
  type WebSocketUpgrade,
} from "../platform.ts";
import { upgradeRefused, WebSocketDuplex } from "../web-socket-duplex.ts";

const idleTimeoutMsMax = 255_000; // the limit of Bun
/** Bun cannot close the connection of a request, but it closes a connection without traffic for this time. */
const closeAfterSeconds = 1;
const backpressureBytesMax = 64 * 1024 * 1024;

interface WebSocketData {
  readonly upgrade: WebSocketUpgrade;
  duplex: WebSocketDuplex | undefined;
}

/** See `Platform`. */
export function listen(options: ListenOptions): HttpServer {
  let connections: RequestConnections | undefined;
  const { tls, hostname, joins = false } = options;
  const server = Bun.serve<WebSocketData>({
    hostname,
    port: tls === undefined || joins ? options.port : reservePort(hostname, options.port),
    // Bun shares a port with another process that does the same, and two nodes would answer in turns: hence `reservePort`.
    reusePort: tls !== undefined || joins,
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
    // Bun's own error page shows source code.
    development: false,
    idleTimeout: Math.min(options.idleTimeoutMs, idleTimeoutMsMax) / 1000,
    maxRequestBodySize: options.bodyBytesMax,
    fetch(request, bun) {
      const upgrade = options.upgradeOf(request);
      if (upgrade === undefined) return options.fetch(request, (connections ??= connectionsOf(bun)));
      return upgrade instanceof Promise
        ? upgrade.then((settled) => upgraded(request, bun, settled))
        : upgraded(request, bun, upgrade);
    },
    error: () => Response.json({ message: "internal error", code: "internal" }, { status: 500 }),
    websocket: {
      maxPayloadLength: options.messageBytesMax,
      // The broker limits what waits for a slow reader (its drain time-out). Dropping frames would break the MQTT
      // stream.
      backpressureLimit: backpressureBytesMax,
      closeOnBackpressureLimit: true,
      open(socket) {
        const duplex = new WebSocketDuplex(socket);
        socket.data.duplex = duplex;
        socket.data.upgrade.onOpen(duplex);
      },
      message: (socket, message) => socket.data.duplex?.receive(message),
      drain: (socket) => socket.data.duplex?.drained(),
      close: (socket) => socket.data.duplex?.closedByPeer(),
    },
  });
  const upgraded = (
    request: Request,
    bun: Bun.Server<WebSocketData>,
    upgrade: WebSocketUpgrade | undefined,
  ): Response | Promise<Response> | undefined => {
    if (upgrade === undefined) return options.fetch(request, (connections ??= connectionsOf(bun)));
    const { subprotocol } = upgrade;
    const headers = subprotocol === undefined ? {} : { "Sec-WebSocket-Protocol": subprotocol };
    const isUpgraded = bun.upgrade(request, { data: { upgrade, duplex: undefined }, headers });
    return isUpgraded ? undefined : upgradeRefused();
  };
  return {
    port: server.port ?? options.port,
    stop: () => server.stop(),
    abort: () => server.stop(true),
  };
}

/** See `Platform`. */
export function reservePort(hostname: string, port: number): number {
  const listener = Bun.listen({ hostname, port, exclusive: true, socket: { data() {} } });
  const { port: free } = listener;
  listener.stop(true);
  return free;
}

function tlsOptions({ cert, key, clientCa }: ServerTls): Bun.TLSOptions {
  const verification = { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return { cert, key, ...(clientCa === undefined ? {} : verification) };
}

function connectionsOf(bun: Bun.Server<WebSocketData>): RequestConnections {
  return {
    close: (received) => bun.timeout(received, closeAfterSeconds),
    addressOf(received) {
      const address = bun.requestIP(received)?.address;
      return address === undefined ? undefined : ipv4Of(address);
    },
  };
}
