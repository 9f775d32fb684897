/** The end of the thread that listens: it hands requests and WebSockets to the thread that answers (`forwarded-requests.ts`). */
import type { Duplex } from "node:stream";
import type { FromAnswerer, FromListener, RequestHead, ResponseHead } from "./forwarded-requests.ts";
import type { RequestConnections, WebSocketUpgrade } from "./platform.ts";

interface Forwarded {
  readonly received: Request;
  readonly connections: RequestConnections;
  readonly respond: (response: Response) => void;
  body: ReadableStreamDefaultReader<Uint8Array> | undefined;
  bodyBytes: number;
  response: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Resolves the pull that waits for a piece. */
  onPiece: (() => void) | undefined;
}

export class RequestForwarder {
  readonly #send: (message: FromListener) => void;
  readonly #requests = new Map<number, Forwarded>();
  readonly #upgrades = new Map<number, (upgrade: WebSocketUpgrade | undefined) => void>();
  readonly #sockets = new Map<number, Duplex>();
  #lastId = 0;

  constructor(send: (message: FromListener) => void) {
    this.#send = send;
  }

  /**
   * The response of the other thread. `body` is that of the request if it was read; `isTraced` as in
   * `RequestConnections`. Never rejects.
   */
  forward(
    received: Request,
    connections: RequestConnections,
    { body, isTraced = false }: { readonly body?: string; readonly isTraced?: boolean } = {},
  ): Promise<Response> {
    const id = ++this.#lastId;
    return new Promise((respond) => {
      this.#requests.set(id, {
        ...{ received, connections, respond },
        ...{ body: undefined, bodyBytes: 0, response: undefined, onPiece: undefined },
      });
      const address = connections.addressOf(received);
      const given = body ?? (received.body === null ? null : undefined);
      this.#send({ id, type: "request", head: { ...headOf(received), address, isTraced, body: given } });
    });
  }

  /** What the request for a WebSocket gets; undefined if it becomes none. */
  upgradeOf(received: Request): Promise<WebSocketUpgrade | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#upgrades.set(id, resolve);
      this.#send({
        id,
        type: "askUpgrade",
        head: { ...headOf(received), address: undefined, isTraced: false, body: null },
      });
    });
  }

  #open(id: number, duplex: Duplex): void {
    this.#sockets.set(id, duplex);
    this.#send({ id, type: "opened" });
    duplex.on("data", (bytes: Uint8Array) => this.#send({ id, type: "frame", bytes }));
    duplex.on("error", () => {});
    duplex.once("close", () => {
      if (this.#sockets.delete(id)) this.#send({ id, type: "closed" });
    });
  }

  receive(message: FromAnswerer): void {
    const { id } = message;
    const request = this.#requests.get(id);
    switch (message.type) {
      case "response":
        return request && this.#respond(id, request, message.head);
      case "wantPiece":
        return request && void this.#sendPiece(id, request);
      case "piece": {
        if (request?.response === undefined) return undefined;
        if (message.bytes.byteLength > 0) request.response.enqueue(message.bytes);
        if (message.isLast) {
          this.#requests.delete(id);
          request.response.close();
        }
        return request.onPiece?.();
      }
      case "abort":
        return request && this.#abort(id, request);
      case "closeConnection":
        return request?.connections.close(request.received);
      case "upgrade": {
        const { isAccepted, subprotocol } = message;
        this.#upgrades.get(id)?.(isAccepted ? { subprotocol, onOpen: (duplex) => this.#open(id, duplex) } : undefined);
        return void this.#upgrades.delete(id);
      }
      case "frame":
        return void this.#sockets.get(id)?.write(message.bytes, () => this.#send({ id, type: "sent" }));
      case "close": {
        const duplex = this.#sockets.get(id);
        this.#sockets.delete(id);
        return void duplex?.end(() => duplex.destroy());
      }
    }
  }

  #respond(id: number, request: Forwarded, { status, headers, body, isWhole }: ResponseHead): void {
    const init = { status, headers: headers as [string, string][] };
    if (isWhole) {
      this.#requests.delete(id);
      return request.respond(new Response(body, init));
    }
    const stream = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          request.response = controller;
          if (body !== null && body.byteLength > 0) controller.enqueue(body);
        },
        pull: () =>
          new Promise<void>((resolve) => {
            request.onPiece = resolve;
            this.#send({ id, type: "pull" });
          }),
        cancel: () => {
          if (this.#requests.delete(id)) this.#send({ id, type: "cancel" });
        },
      },
      { highWaterMark: 0 },
    );
    request.respond(new Response(stream, init));
  }

  /** Without the last piece the client knows that the response is incomplete. */
  #abort(id: number, request: Forwarded): void {
    this.#requests.delete(id);
    if (request.response === undefined) return request.respond(new Response(null, { status: 500 }));
    request.response.error(new Error("the response cannot be completed"));
    request.connections.close(request.received);
    return request.onPiece?.();
  }

  async #sendPiece(id: number, request: Forwarded): Promise<void> {
    try {
      request.body ??= request.received.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
      const { done, value } = await request.body.read();
      if (done) return this.#send({ id, type: "piece", bytes: new Uint8Array(), isLast: true });
      request.bodyBytes += value.byteLength;
      const declared = request.received.headers.get("content-length");
      const isLast = declared !== null && request.bodyBytes >= Number(declared);
      return this.#send({ id, type: "piece", bytes: value, isLast });
    } catch (error) {
      return this.#send({ id, type: "noPiece", reason: error instanceof Error ? error.message : String(error) });
    }
  }
}

function headOf({ method, url, headers }: Request): Pick<RequestHead, "method" | "url" | "headers"> {
  return { method, url, headers: [...headers] };
}
