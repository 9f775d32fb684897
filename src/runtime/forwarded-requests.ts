/**
 * Requests that another thread has received and this one answers. Messages carry them both ways: first the head, then
 * the bodies, piece by piece as the receiver asks for them, so neither thread holds more than a piece of a body that
 * nobody reads. WebSockets are carried in the same way.
 */
import type { ListenOptions, RequestConnections, WebSocketUpgrade } from "./platform.ts";
import { type BinarySocket, WebSocketDuplex } from "./web-socket-duplex.ts";

/** A message about the request or the WebSocket with this number, from the thread that listens. */
export type FromListener = { readonly id: number } & (
  | { readonly type: "request"; readonly head: RequestHead }
  /** The next piece of the request's body. */
  | { readonly type: "piece"; readonly bytes: Uint8Array; readonly isLast: boolean }
  | { readonly type: "noPiece"; readonly reason: string }
  /** The client can take more of the response. */
  | { readonly type: "pull" }
  /** The client has gone. */
  | { readonly type: "cancel" }
  /** Whether the request may become a WebSocket. */
  | { readonly type: "askUpgrade"; readonly head: RequestHead }
  /** It has become one. */
  | { readonly type: "opened" }
  | { readonly type: "frame"; readonly bytes: Uint8Array }
  | { readonly type: "sent" }
  | { readonly type: "closed" }
);

/** A message of the thread that answers. */
export type FromAnswerer = { readonly id: number } & (
  | { readonly type: "response"; readonly head: ResponseHead }
  | { readonly type: "wantPiece" }
  | { readonly type: "piece"; readonly bytes: Uint8Array; readonly isLast: boolean }
  /** The response cannot be completed. */
  | { readonly type: "abort" }
  /** The connection is to be closed, even if the client reads nothing. */
  | { readonly type: "closeConnection" }
  /** The answer to `askUpgrade`. */
  | { readonly type: "upgrade"; readonly isAccepted: boolean; readonly subprotocol: string | undefined }
  | { readonly type: "frame"; readonly bytes: Uint8Array }
  | { readonly type: "close" }
);

export interface RequestHead {
  readonly method: string;
  /** As the runtime gave it: without a usable `Host` header only a path. */
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  /** The IP address of the peer, if it is known. */
  readonly address: string | undefined;
  /** As `RequestConnections.isTraced`. */
  readonly isTraced: boolean;
  /** The body if it was read already; null without one; undefined if it can be asked for. */
  readonly body: string | null | undefined;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  /** The body, or its first piece; null without a body. */
  readonly body: Uint8Array | null;
  readonly isWhole: boolean;
}

interface Answering {
  readonly received: Request;
  readonly address: string | undefined;
  readonly isTraced: boolean;
  /** Takes the next piece of the request's body. */
  onPiece: ((piece: Uint8Array | Error, isLast: boolean) => void) | undefined;
  response: ReadableStreamDefaultReader<Uint8Array> | undefined;
  isCancelled: boolean;
}

/** The end of the thread that answers. */
export class ForwardedRequests {
  readonly #fetch: ListenOptions["fetch"];
  readonly #upgradeOf: ListenOptions["upgradeOf"];
  readonly #send: (message: FromAnswerer) => void;
  readonly #requests = new Map<number, Answering>();
  readonly #ids = new WeakMap<Request, number>();
  readonly #upgrades = new Map<number, WebSocketUpgrade>();
  readonly #sockets = new Map<number, WebSocketDuplex>();
  readonly #connections: RequestConnections = {
    close: (received) => {
      const id = this.#ids.get(received);
      if (id !== undefined) this.#send({ id, type: "closeConnection" });
    },
    addressOf: (received) => this.#requests.get(this.#ids.get(received) ?? 0)?.address,
    isTraced: (received) => this.#requests.get(this.#ids.get(received) ?? 0)?.isTraced === true,
  };

  /** `fetch` never rejects. `upgradeOf` as in `ListenOptions`. */
  constructor({ fetch, upgradeOf }: Pick<ListenOptions, "fetch" | "upgradeOf">, send: (message: FromAnswerer) => void) {
    this.#fetch = fetch;
    this.#upgradeOf = upgradeOf;
    this.#send = send;
  }

  receive(message: FromListener): void {
    const { id } = message;
    switch (message.type) {
      case "request":
        return void this.#answer(id, message.head);
      case "piece":
        return this.#requests.get(id)?.onPiece?.(message.bytes, message.isLast);
      case "noPiece":
        return this.#requests.get(id)?.onPiece?.(new Error(message.reason), true);
      case "pull":
        return void this.#sendNext(id);
      case "cancel":
        return this.#cancel(id);
      case "askUpgrade":
        return void this.#decideUpgrade(id, message.head);
      case "opened": {
        const socket = new WebSocketDuplex(new ForwardedSocket(id, this.#send));
        socket.once("close", () => this.#sockets.delete(id));
        this.#sockets.set(id, socket);
        this.#upgrades.get(id)?.onOpen(socket);
        return void this.#upgrades.delete(id);
      }
      case "frame":
        return this.#sockets.get(id)?.receive(message.bytes);
      case "sent":
        return this.#sockets.get(id)?.drained();
      case "closed":
        this.#upgrades.delete(id);
        return this.#sockets.get(id)?.closedByPeer();
    }
  }

  /** The thread that listened has ended, with all its connections. */
  end(): void {
    for (const id of [...this.#requests.keys()]) this.#cancel(id);
    for (const socket of this.#sockets.values()) socket.closedByPeer();
  }

  async #decideUpgrade(id: number, head: RequestHead): Promise<void> {
    const upgrade = await this.#upgradeOf(requestOf({ ...head, body: null }, () => this.#bodyOf(id)));
    if (upgrade !== undefined) this.#upgrades.set(id, upgrade);
    this.#send({ id, type: "upgrade", isAccepted: upgrade !== undefined, subprotocol: upgrade?.subprotocol });
  }

  async #answer(id: number, head: RequestHead): Promise<void> {
    const received = requestOf(head, () => this.#bodyOf(id));
    const { address, isTraced } = head;
    const answering = { received, address, isTraced, onPiece: undefined, response: undefined, isCancelled: false };
    this.#ids.set(received, id);
    this.#requests.set(id, answering);
    const response = await this.#fetch(received, this.#connections);
    await this.#respond(id, answering, response);
  }

  async #respond(id: number, answering: Answering, response: Response): Promise<void> {
    const { status, body } = response;
    const headers = [...response.headers];
    if (body === null) return this.#end({ id, type: "response", head: { status, headers, body: null, isWhole: true } });
    const reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    answering.response = reader;
    if (answering.isCancelled) return this.#cancel(id);
    try {
      const { first, isWhole } = await firstPiece(reader, this.#nextPieces);
      const message: FromAnswerer = { id, type: "response", head: { status, headers, body: first, isWhole } };
      if (isWhole) this.#end(message);
      else this.#send(message);
    } catch {
      this.#end({ id, type: "abort" });
    }
  }

  /** What was read of a response while it was found out whether that is all of it. */
  readonly #nextPieces = new WeakMap<ReadableStreamDefaultReader<Uint8Array>, Promise<Piece>>();

  async #sendNext(id: number): Promise<void> {
    const reader = this.#requests.get(id)?.response;
    if (reader === undefined) return;
    try {
      const waiting = this.#nextPieces.get(reader);
      this.#nextPieces.delete(reader);
      const { done, value } = await (waiting ?? reader.read());
      if (done) this.#end({ id, type: "piece", bytes: nothing, isLast: true });
      else this.#send({ id, type: "piece", bytes: value, isLast: false });
    } catch {
      this.#end({ id, type: "abort" });
    }
  }

  #end(message: FromAnswerer): void {
    if (this.#requests.delete(message.id)) this.#send(message);
  }

  #cancel(id: number): void {
    const answering = this.#requests.get(id);
    if (answering === undefined) return;
    answering.isCancelled = true;
    answering.onPiece?.(new Error("the client has closed the connection"), true);
    if (answering.response === undefined) return;
    this.#requests.delete(id);
    answering.response.cancel().catch(() => {});
  }

  /** The body of a request, whose pieces are fetched one by one. */
  #bodyOf(id: number): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) =>
          new Promise<void>((resolve) => {
            const answering = this.#requests.get(id);
            if (answering === undefined || answering.isCancelled) {
              controller.error(new Error("the client has closed the connection"));
              return resolve();
            }
            answering.onPiece = (piece, isLast) => {
              answering.onPiece = undefined;
              if (piece instanceof Error) controller.error(piece);
              else {
                if (piece.byteLength > 0) controller.enqueue(piece);
                if (isLast) controller.close();
              }
              resolve();
            };
            this.#send({ id, type: "wantPiece" });
          }),
      },
      { highWaterMark: 0 },
    );
  }
}

type Piece = Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]>>;

const nothing = new Uint8Array();

/** Reads the first piece, and finds out whether it is the whole body: that of a body in memory is. */
async function firstPiece(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  waiting: WeakMap<ReadableStreamDefaultReader<Uint8Array>, Promise<Piece>>,
): Promise<{ readonly first: Uint8Array; readonly isWhole: boolean }> {
  const open = Symbol("open");
  const soon = <T>(work: Promise<T>): Promise<T | typeof open> =>
    Promise.race([work, new Promise<typeof open>((resolve) => setImmediate(resolve, open))]);
  const reading = reader.read();
  const start = await soon(reading);
  if (start === open) {
    // The head of an event stream must not wait for its first event.
    waiting.set(reader, reading);
    return { first: nothing, isWhole: false };
  }
  if (start.done) return { first: nothing, isWhole: true };
  const next = reader.read();
  const end = await soon(next);
  if (end !== open && end.done) return { first: start.value, isWhole: true };
  waiting.set(reader, next);
  return { first: start.value, isWhole: false };
}

/** The request as the runtime gave it to the other thread. */
function requestOf({ method, url, headers, body }: RequestHead, pieces: () => ReadableStream<Uint8Array>): Request {
  const isBodiless = method === "GET" || method === "HEAD" || body === null;
  const init: RequestInit = {
    headers: headers.map(([name, value]): [string, string] => [name, value]),
    ...(!isBodiless && { body: body ?? pieces(), duplex: "half" }),
  };
  try {
    return new Request(url, { method, ...init });
  } catch {
    // A path without a host, or a method that programs may not send.
    const request = new Request("http://localhost/", { method: isBodiless ? "GET" : "POST", ...init });
    return Object.defineProperties(request, { url: { value: url }, method: { value: method } });
  }
}

/** A WebSocket of another thread, which says when it has sent a frame. */
class ForwardedSocket implements BinarySocket {
  readyState = openState;
  readonly #id: number;
  readonly #send: (message: FromAnswerer) => void;

  constructor(id: number, send: (message: FromAnswerer) => void) {
    this.#id = id;
    this.#send = send;
  }

  /** The frame waits until the other thread has sent it. */
  send(bytes: Uint8Array): number {
    this.#send({ id: this.#id, type: "frame", bytes });
    return -1;
  }

  close(): void {
    this.readyState = closedState;
    this.#send({ id: this.#id, type: "close" });
  }
}

const [openState, closedState] = [1, 3];
