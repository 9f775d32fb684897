/** The HTTP listener on Deno, with the upgrade to WebSocket. */
import {
  ipv4Of,
  type HttpServer,
  type ListenOptions,
  type PeerAddress,
  type ServerTls,
  type WebSocketUpgrade,
} from "../platform.ts";
import { type BinarySocket, upgradeRefused, WebSocketDuplex } from "../web-socket-duplex.ts";

/** A WebSocket that has more bytes than this to send makes its writer wait. */
const bufferedBytesMax = 64 * 1024;
/** How often it is looked at then: the standard has no event for it. */
const bufferPollMs = 2;
/** How long the peer of a closed WebSocket has to close its end. Deno would wait without a limit. */
const closeTimeoutMs = 2000;
/** Connections to end are collected for this time, because finding them in the list of the system costs some milliseconds. */
const endIntervalMs = 200;
/** Deno ends a listener that fails to accept a connection (no free file descriptor). How long until it is started again. */
const restartMs = 100;

/** See `Platform`. Deno limits neither bodies of unknown length nor connections without traffic; the application
 * limits both. */
export function listen(options: ListenOptions): HttpServer {
  const { tls, hostname, joins = false } = options;
  const peers = new WeakMap<Request, PeerAddress>();
  const ending: PeerAddress[] = [];
  const end = (peer: PeerAddress): void => {
    if (ending.push(peer) === 1) setTimeout(() => options.endConnections(ending.splice(0)), endIntervalMs);
  };
  const close = (received: Request): void => {
    const peer = peers.get(received);
    if (peer !== undefined) end(peer);
  };
  const connections = { close, addressOf: (received: Request) => peers.get(received)?.address };
  const handle: Deno.ServeHandler<Deno.NetAddr> = (request, { remoteAddr }) => {
    const peer = { address: ipv4Of(remoteAddr.hostname), port: remoteAddr.port };
    // Deno keeps a connection open, also if its response says that it closes.
    const sent = (response: Response): Response => {
      // With TLS it can be a connection of HTTP/2, which has other requests, and which Deno closes as it should.
      if (tls === undefined && response.headers.get("connection") === "close") end(peer);
      return response;
    };
    if (!isHost(request.headers.get("host") ?? "")) return sent(malformedHost());
    const upgrade = options.upgradeOf(request);
    if (upgrade instanceof Promise)
      throw new Error("only threads that share a port ask others, and there are none here");
    if (upgrade !== undefined) return upgraded(request, upgrade, options.messageBytesMax, () => end(peer));
    if (Number(request.headers.get("content-length")) > options.bodyBytesMax)
      return sent(new Response(null, { status: 413, headers: closing }));
    peers.set(request, peer);
    const response = options.fetch(request, connections);
    return response instanceof Promise ? response.then(sent) : sent(response);
  };
  const onError = (): Response => Response.json({ message: "internal error", code: "internal" }, { status: 500 });
  let stopping = false;
  const start = (port: number): Deno.HttpServer<Deno.NetAddr> => {
    const own = { hostname, port, onListen() {}, onError };
    const started = Deno.serve(tls === undefined ? own : { ...own, ...certified(tls), reusePort: true }, handle);
    started.finished.catch(() => setTimeout(restart, restartMs, started.addr.port));
    return started;
  };
  const restart = (port: number): void => {
    if (stopping) return;
    try {
      server = start(port);
    } catch {
      setTimeout(restart, restartMs, port);
    }
  };
  let server = start(tls === undefined || joins ? options.port : freePort(hostname, options.port));
  return {
    port: server.addr.port,
    stop() {
      stopping = true;
      return server.shutdown();
    },
    // Deno waits for the handlers of requests even if their connections have ended.
    abort: async () => options.endConnections(),
  };
}

/** The port, if nobody listens there: `reusePort` shares it even with another process. Throws the error of the system. */
function freePort(hostname: string, port: number): number {
  using listener = Deno.listen({ hostname, port });
  return listener.addr.port;
}

function certified({ cert, key }: ServerTls): Deno.TlsCertifiedKeyPem {
  return { cert, key };
}

/** Deno puts any text of the header into the URL of the request, so a path in it would lead to another route. */
function isHost(text: string): boolean {
  return !/[^\w.:[\]~!$&'()*+,;=-]/.test(text);
}

/** The body of a refused request is not read, and would keep its connection. */
const closing = { Connection: "close" } as const;

function malformedHost(): Response {
  const body = { message: "the `Host` header is malformed", code: "invalid_request" };
  return Response.json(body, { status: 400, headers: closing });
}

function upgraded(
  request: Request,
  { subprotocol, onOpen }: WebSocketUpgrade,
  messageBytesMax: number,
  endConnection: () => void,
): Response {
  let upgrade: Deno.WebSocketUpgrade;
  try {
    upgrade = Deno.upgradeWebSocket(request, subprotocol === undefined ? {} : { protocol: subprotocol });
  } catch {
    return upgradeRefused();
  }
  const { socket, response } = upgrade;
  socket.binaryType = "arraybuffer";
  const duplex = new WebSocketDuplex(binarySocket(socket, () => duplex.drained(), endConnection));
  socket.addEventListener("open", () => onOpen(duplex));
  socket.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
    const message = typeof data === "string" ? data : new Uint8Array(data);
    if (message.length > messageBytesMax) duplex.destroy(new Error("a message of a WebSocket is too large"));
    else duplex.receive(message);
  });
  socket.addEventListener("close", () => duplex.closedByPeer());
  // The event `close` follows.
  socket.addEventListener("error", (event) => event.preventDefault());
  return response;
}

/** The socket with the report about waiting bytes that `WebSocketDuplex` needs. `onDrain` is called when they are sent. */
function binarySocket(socket: WebSocket, onDrain: () => void, endConnection: () => void): BinarySocket {
  const poll = (): void => {
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount <= bufferedBytesMax) onDrain();
    else setTimeout(poll, bufferPollMs);
  };
  return {
    get readyState() {
      return socket.readyState;
    },
    send(data) {
      socket.send(data as Uint8Array<ArrayBuffer>);
      if (socket.bufferedAmount <= bufferedBytesMax) return data.byteLength;
      setTimeout(poll, bufferPollMs);
      return -1;
    },
    close(code) {
      socket.close(code);
      setTimeout(() => {
        if (socket.readyState !== WebSocket.CLOSED) endConnection();
      }, closeTimeoutMs);
    },
  };
}
