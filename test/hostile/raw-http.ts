/**
 * HTTP/1.1 over plain TCP, for clients that send half a head or half a body, send one byte per second, hold thousands
 * of silent connections, or never read a response.
 */
import * as Bun from "bun";
import { connect, type Socket } from "node:net";

export interface RequestHead {
  /** Default `GET`. */
  readonly method?: string;
  readonly path: string;
  /** Sent without changes. A `Host` is added if there is none; `Host: ""` sends an empty one. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The bytes of a request's head, with the empty line that ends it. Nothing is escaped or checked. */
export function requestHead({ method = "GET", path, headers = {} }: RequestHead): string {
  const hasHost = Object.keys(headers).some((name) => name.toLowerCase() === "host");
  const all = hasHost ? headers : { Host: "127.0.0.1", ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} ${path} HTTP/1.1`, ...lines].join("\r\n")}\r\n\r\n`;
}

export interface RawAnswer {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The received part of the body; a chunked one contains its chunk sizes. */
  readonly body: string;
}

/** Parses the first response of a connection; undefined while its head is incomplete. */
export function readAnswer(received: string): RawAnswer | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const [statusLine = "", ...lines] = received.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? 0);
  const pairs = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status, headers: Object.fromEntries(pairs), body: received.slice(end + 4) };
}

/** Whether the response is complete, by its length or its last chunk. */
function isWhole({ status, headers, body }: RawAnswer): boolean {
  if (status === 101 || status === 204 || status === 304) return true;
  const length = headers["content-length"];
  if (length !== undefined) return Buffer.byteLength(body, "latin1") >= Number(length);
  return headers["transfer-encoding"] === "chunked" && body.endsWith("0\r\n\r\n");
}

const receivedCharactersMax = 1_000_000;

/** One TCP connection to a node, with a bounded buffer of received data. */
export class RawConnection {
  readonly socket: Socket;
  /** Resolves when it is closed by either side, with the error code if there is one. */
  readonly closed: Promise<string | undefined>;
  #received = "";
  #isClosed = false;
  #changed: () => void = () => undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    let failure: string | undefined;
    socket.on("error", (error: NodeJS.ErrnoException) => (failure = error.code ?? error.message));
    socket.on("data", (bytes: Buffer) => {
      if (this.#received.length < receivedCharactersMax) this.#received += bytes.toString("latin1");
      this.#changed();
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true;
        this.#changed();
        resolve(failure);
      });
    });
  }

  get received(): string {
    return this.#received;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(bytes: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** The first response, when it is complete or the connection is closed; undefined after the time limit. */
  async answer(timeoutMs = 5000): Promise<RawAnswer | undefined> {
    await this.until(() => {
      const answer = readAnswer(this.#received);
      return answer !== undefined && isWhole(answer);
    }, timeoutMs);
    return readAnswer(this.#received);
  }

  /** Whether the condition became true before the connection was closed and the time was over. */
  async until(condition: () => boolean, timeoutMs = 5000): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      const leftMs = deadline - performance.now();
      if (this.#isClosed || leftMs <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return true;
  }

  /** Stops reading, so that responses fill the buffers of the system and then those of the node. */
  stopReading(): void {
    this.socket.pause();
  }

  /** Closes the connection immediately, with a reset if possible. */
  abort(): void {
    if (this.socket.destroyed) return;
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Connects to a node. Rejects after the time limit. */
export function openConnection(url: string, timeoutMs = 5000): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) });
    const fail = (reason: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(reason);
    };
    const timer = setTimeout(() => fail(new Error(`no connection to ${url} within ${timeoutMs} ms`)), timeoutMs);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(new RawConnection(socket));
    });
  });
}

/** Sends bytes over a new connection and returns the response; undefined after the time limit. */
export async function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  timeoutMs = 5000,
): Promise<RawAnswer | undefined> {
  const connection = await openConnection(url, timeoutMs);
  try {
    connection.send(bytes);
    return await connection.answer(timeoutMs);
  } finally {
    connection.close();
  }
}

export interface HeldConnections {
  readonly connections: readonly RawConnection[];
  /** The number of connections that could not be opened. */
  readonly refused: number;
  /** The number of connections that the node has not closed. */
  open(): number;
  close(): void;
}

export interface HoldOptions {
  readonly count: number;
  /** The first bytes of each connection; default none. */
  readonly first?: string | Uint8Array | ((index: number) => string | Uint8Array);
  /** The number of connections that are opened concurrently; default 50. */
  readonly abreast?: number;
  /** Ends the opening early, with those that are open then. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Opens many connections and keeps them open, silent after their first bytes. */
export async function holdConnections(url: string, options: HoldOptions): Promise<HeldConnections> {
  const { count, first, abreast = 50, signal, timeoutMs } = options;
  const connections: RawConnection[] = [];
  let refused = 0;
  let next = 0;
  const openMore = async (): Promise<void> => {
    while (next < count && signal?.aborted !== true) {
      const index = next++;
      try {
        const connection = await openConnection(url, timeoutMs);
        connections.push(connection);
        if (first !== undefined) connection.send(typeof first === "function" ? first(index) : first);
      } catch {
        refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(abreast, count) }, openMore));
  return {
    connections,
    refused,
    open: () => connections.filter(({ isClosed }) => !isClosed).length,
    close: () => connections.forEach((connection) => connection.close()),
  };
}

/** The head of a request that announces a body of so many bytes, to be followed by fewer of them. */
export function unfinishedRequest(path: string, key: string | undefined, contentLength: number): string {
  const headers = {
    ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
    "Content-Type": "application/json",
    "Content-Length": String(contentLength),
  };
  return requestHead({ method: "POST", path, headers });
}

/**
 * Sends a body byte by byte with pauses until it is complete, the connection is closed, or the signal aborts. Returns
 * the number of sent bytes.
 */
export async function sendSlowly(
  connection: RawConnection,
  bytes: Uint8Array,
  { pauseMs, signal }: { readonly pauseMs: number; readonly signal?: AbortSignal },
): Promise<number> {
  let sent = 0;
  while (sent < bytes.length && !connection.isClosed && signal?.aborted !== true) {
    connection.send(bytes.subarray(sent, sent + 1));
    sent++;
    await Bun.sleep(pauseMs);
  }
  return sent;
}
