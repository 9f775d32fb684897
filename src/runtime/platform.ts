/**
 * What the program needs of a JavaScript runtime beyond the APIs of `node:` and of the web. `bun/` and `deno/`
 * implement it. The entry `#platform` of `imports` in `package.json` selects the implementation; nothing else does.
 */
import type { Duplex } from "node:stream";

export interface Platform {
  readonly name: "Bun" | "Deno";
  readonly version: string;
  /** What users should know that this runtime cannot do; null if there is nothing. */
  readonly restriction: string | null;
  /** Whether the program is one file with the runtime in it. */
  readonly isCompiled: boolean;
  /** Opens the database at a path or a `file:` URL, or `:memory:`. Errors have the name of SQLite's code as `code`. */
  openSqlite(location: string, mode: SqliteOpenMode): SqliteDriverConnection;
  /** Starts to listen. Throws the error of the system. */
  listen(options: ListenOptions): HttpServer;
  /** Whether the system spreads connections over the threads that listen on one port. */
  readonly spreadsConnections: boolean;
  /** A port that listeners can share: this one, or a free one for 0. Throws the error of the system if it is taken. */
  reservePort(hostname: string, port: number): number;
  /** Whether `listen` can ask clients for certificates. */
  readonly verifiesClients: boolean;
  /** The first of the C libraries that can be opened; undefined if none can. */
  openLibc(names: readonly string[]): Libc | undefined;
  /** Writes the SHA-256 of bytes, or of a string in UTF-8, into `hash`, which has 32 bytes. */
  sha256Into(content: string | Uint8Array, hash: Uint8Array): void;
  /** Returns a function that computes the HMAC-SHA-256 (RFC 2104) of the concatenated parts, as hex. */
  hmacWith(key: Uint8Array): (...parts: (string | Uint8Array)[]) => string;
  /** The part of the second argument of `fetch` that makes it use these certificates. */
  tlsFetchOptions(tls: TlsTexts): RequestInit;
  /** The error of `fetch`, with the code of the system as `code` if the network failed. */
  withSystemCode(error: unknown): unknown;
  /** Starts a worker thread from an entry point relative to `src/`, or from a URL. */
  startThread(entry: string | URL): WorkerChannel;
  /** Starts this program as a worker process. Messages are structured clones. */
  startProcess(options: ProcessOptions): ProcessChannel;
}

export type SqlValue = string | number | null | Uint8Array;
export type SqlRow = SqlValue[];

export interface SqlStatement {
  /** Runs the statement and returns how many rows changed. */
  run(...parameters: SqlValue[]): number;
  /** All rows, as arrays in column order. */
  values(...parameters: SqlValue[]): SqlRow[];
  /** The rows one by one, for results that do not fit into memory. The columns need distinct names. */
  rows(...parameters: SqlValue[]): Iterable<SqlRow>;
  finalize(): void;
}

export type SqliteOpenMode = "readonly" | "readwrite" | "create";

/** A connection as the runtime's driver has it. */
export interface SqliteDriverConnection {
  readonly inTransaction: boolean;
  prepare(sql: string): SqlStatement;
  /** One or more statements without parameters. */
  exec(sql: string): void;
  /** Finalizes all statements, and closes the connection. */
  close(): void;
}

/** The connections of a listener, by the requests that it has received. */
export interface RequestConnections {
  /** Closes the connection within some seconds, even if the peer reads nothing of the response. */
  readonly close: (received: Request) => void;
  /** The IP address of the peer; undefined if the connection has ended. */
  readonly addressOf: (received: Request) => string | undefined;
  /** Whether the thread that received the request has chosen it for a trace. Undefined if no other thread has it. */
  readonly isTraced?: (received: Request) => boolean;
}

/** What a runtime needs to listen. */
export interface ListenOptions {
  readonly hostname: string;
  /** 0 chooses a free port. */
  readonly port: number;
  readonly fetch: (request: Request, connections: RequestConnections) => Response | Promise<Response>;
  /** The runtime may reject larger bodies with an empty 413. */
  readonly bodyBytesMax: number;
  /** The runtime may close a connection without traffic after this time. */
  readonly idleTimeoutMs: number;
  /** What a request for a WebSocket gets; undefined for all other requests. */
  readonly upgradeOf: (request: Request) => WebSocketUpgrade | undefined | Promise<WebSocketUpgrade | undefined>;
  /** The largest message of a WebSocket. */
  readonly messageBytesMax: number;
  /** Ends the connections of the listener, all or those of some peers. For runtimes that cannot. */
  readonly endConnections: (peers?: readonly PeerAddress[]) => void;
  /** With it, the listener speaks TLS 1.2 and later, and another one can join it at its port. */
  readonly tls?: ServerTls | undefined;
  /** Whether a listener of this process has the port already, or it was reserved. */
  readonly joins?: boolean;
}

/** What a listener presents, and asks for. PEM texts. */
export interface ServerTls {
  /** The certificate, and its chain. */
  readonly cert: string;
  readonly key: string;
  /** With it, each client needs a certificate of this authority. */
  readonly clientCa?: string | undefined;
}

export interface WebSocketUpgrade {
  readonly subprotocol: string | undefined;
  /** Called when the WebSocket is open. */
  readonly onOpen: (duplex: Duplex) => void;
}

export interface PeerAddress {
  readonly address: string;
  readonly port: number;
}

/** The address without the prefix that IPv4 clients of a listener on `::` have. */
export function ipv4Of(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, "");
}

/** A listener of the runtime. */
export interface HttpServer {
  readonly port: number;
  /** Stops listening, and resolves when the requests in flight are answered. */
  stop(): Promise<void>;
  /** Closes all connections. */
  abort(): Promise<void>;
}

/** Functions of the C library. Arrays are passed as pointers to their bytes; a result other than 0 is an error. */
export interface Libc {
  getsockname(descriptor: number, address: Uint8Array, length: Uint32Array): number;
  getpeername(descriptor: number, address: Uint8Array, length: Uint32Array): number;
  getsockopt(descriptor: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
  setsockopt(descriptor: number, level: number, option: number, value: Uint8Array, length: number): number;
  shutdown(descriptor: number, how: number): number;
  getrlimit(resource: number, limits: BigUint64Array): number;
  /** The address of the first byte, for structures with pointers. It is valid while the array is in use. */
  addressOf(bytes: Uint8Array): bigint;
}

/** Certificates and keys in PEM format. */
export interface TlsTexts {
  /** The authorities to trust instead of those of the system; on Deno, besides them. */
  readonly ca?: string | undefined;
  /** The client certificate and its private key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** One end of a connection over which messages go both ways. */
export interface Channel {
  /** A receiver in this process gets the buffers in `transfer` without a copy. */
  send(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: unknown) => void): void;
}

/** The parent's end of the connection to a worker. */
export interface WorkerChannel extends Channel {
  /** Called once, when no more messages can arrive. */
  onEnd(listener: (reason: Error) => void): void;
  /** Ends the worker immediately. */
  end(): void;
}

/** A process that runs this program, and the messages to and from it. */
export interface ProcessOptions {
  /** Whether the process may write files; by default not, if the runtime can forbid it. */
  readonly mayWrite?: boolean | undefined;
  /** Of the program. */
  readonly parameters: readonly string[];
  readonly onMessage: (message: unknown) => void;
}

export interface ProcessChannel {
  readonly pid: number;
  send(message: unknown): void;
  /** Resolves when the process has ended. */
  readonly exited: Promise<unknown>;
  /** Ends the process immediately. */
  kill(): void;
}
