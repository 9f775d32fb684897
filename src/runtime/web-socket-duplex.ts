/**
 * A WebSocket of the server as a node stream. A write waits until the socket has drained. The runtime cannot pause reading, so
 * a connection is closed when its reader is more than `unreadBytesMax` behind.
 */
import { Duplex } from "node:stream";

const unreadBytesMax = 8 * 1024 * 1024;

export interface BinarySocket {
  readonly readyState: number;
  /** Returns the number of sent bytes, -1 if they wait for the peer, 0 if they were dropped. */
  send(data: Uint8Array): number;
  close(code?: number): void;
}

const readyStateOpen = 1;

export class WebSocketDuplex extends Duplex {
  readonly #socket: BinarySocket;
  #waiting: (() => void) | undefined;

  constructor(socket: BinarySocket) {
    super();
    this.#socket = socket;
  }

  receive(message: string | Uint8Array): void {
    if (this.destroyed) return;
    this.push(typeof message === "string" ? Buffer.from(message) : message);
    if (this.readableLength > unreadBytesMax) this.destroy(new Error("the reader of a WebSocket is too far behind"));
  }

  drained(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  closedByPeer(): void {
    if (this.destroyed) return;
    this.push(null);
    this.destroy();
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket.readyState !== readyStateOpen) return done(new Error("the WebSocket is closed"));
    const sent = this.#socket.send(chunk);
    if (sent === 0 && chunk.byteLength > 0) return done(new Error("the WebSocket dropped a message"));
    if (sent === -1) this.#waiting = done;
    else done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.close(1000);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.drained();
    if (this.#socket.readyState === readyStateOpen) this.#socket.close(error === null ? 1000 : 1011);
    done(error);
  }
}

/** For a request that cannot become a WebSocket, for example because it has no key. */
export function upgradeRefused(): Response {
  return Response.json(
    { message: "a WebSocket upgrade was expected" },
    { status: 426, headers: { Upgrade: "websocket" } },
  );
}

/** Whether a request is for a WebSocket. */
export function asksForUpgrade(request: Request): boolean {
  return request.method === "GET" && request.headers.get("upgrade")?.toLowerCase() === "websocket";
}
