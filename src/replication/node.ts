/** What the rest of the program sees of a running node, whatever its role. */
import type { Duplex } from "node:stream";
import type { Engine } from "../engine/engine.ts";
import type { ApiKey, FactChange } from "../engine/state/event.ts";
import type { StoreState } from "../store/log/store-state.ts";
import type { ReplicaStateName } from "./node-state.ts";
import type { EventReader } from "./log/event-reader.ts";
import type { ApiKeyLookup } from "./transport/node-client.ts";
import type { WriteMeta, WriteResult } from "./log/append.ts";

export type { WriteMeta, WriteResult } from "./log/append.ts";

export interface Node {
  readonly role: "primary" | "edge" | "fallback";
  readonly id: string;
  readonly environment: string;
  /** The engine over the present copy. Asked anew for each request: a snapshot may have replaced it. AppError `not_ready` while there is none. */
  engine(): Engine;
  /** The events that made this copy what it is; undefined where it is made of snapshots alone: a fallback's that does not follow. */
  readonly events: EventReader | undefined;
  /** Local writes: the primary's. */
  readonly writes: Writes | undefined;
  /** Sends a client's write on to the primary, and answers when this node has applied it or the wait is over: an edge's. */
  readonly forward: ((request: ForwardedRequest) => Promise<ForwardedAnswer>) | undefined;
  /** Looks up a client's key, which this node does not know, at the primary: an edge's. AppError `not_ready` where that cannot be done now. */
  readonly lookUpKey?: ((key: string) => Promise<ApiKeyLookup>) | undefined;
  /**
   * Resolves when this copy contains the token's position. AppError `invalid_request` (malformed), `conflict` (not part of this history),
   * `not_ready` (not in time). A fallback's resolves at once, whatever the token.
   */
  waitFor(token: string): Promise<void>;
  /** Resolves when this copy contains all that the primary has now. AppError `not_ready` where that can't be known or not in time. A fallback's resolves at once. */
  waitForLatest(): Promise<void>;
  /** AppError `not_ready` where this copy is older than the configuration lets it answer from. */
  requireFresh(): void;
  /** Something failed that a damaged file would explain: whether it was that. The node then answers no more from it. */
  reportDamage(error: unknown): boolean;
  /** Where the copy stands, undefined while there is none: the same object until it moves or is replaced. */
  state(): StoreState | undefined;
  health(): NodeHealth;
  /** Makes this node the primary, under a new epoch: an edge can. */
  readonly promote: ((options: PromoteOptions) => Promise<Promoted>) | undefined;
  /** Answers requests below `/replication/`, the node key included; undefined where this node serves no others. */
  replication(request: Request): Promise<Response> | undefined;
  /** Answers nodes that wait for something new: there will be nothing. */
  readonly endLongPolls?: () => void;
  /** A backup of what this node has, as an answer. AppError `not_ready` while there is nothing, `too_many_requests` while another one is made. */
  backup(): Promise<Response>;
  /** Takes over an MQTT connection that came in as a WebSocket, where a broker is embedded. */
  readonly mqttConnection: ((connection: Duplex) => void) | undefined;
  stop(): Promise<void>;
}

/** Each resolves when the write is committed. AppError says why where it is refused; then nothing changed. */
export interface Writes {
  /** The first epoch of the history that they continue. */
  readonly history: string;
  /** A string holds the changes as JSON. */
  batch(changes: readonly FactChange[] | string, meta: WriteMeta): Promise<WriteResult>;
  policy(
    policy: { readonly source: string; readonly filename: string | null; readonly force: boolean },
    meta: WriteMeta,
  ): Promise<WriteResult>;
  clear(meta: WriteMeta): Promise<WriteResult>;
  keys(
    change: { readonly add: readonly ApiKey[]; readonly remove: readonly string[] },
    meta: WriteMeta,
  ): Promise<WriteResult>;
}

export interface ForwardedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Those of the client that matter to the primary: authorization, content type, request id, trace context. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string | null;
}

export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface PromoteOptions {
  /** Also where the present primary still answers, or another node has more than this one. */
  readonly force: boolean;
  /** Takes over from a primary that answers: it writes nothing any more, and this node fetches what it lacks. Not with `force`. */
  readonly graceful?: boolean;
  /** Whether the node itself asks, and no operator. */
  readonly automatic?: boolean;
}

export interface Promoted {
  readonly epoch: string;
  /** Where the new epoch begins: the last event of the old one that it contains. */
  readonly offset: number;
}

export interface BrokerStatus {
  /** `host:port`, or `embedded` for the one inside this process. */
  readonly broker: string;
  readonly connected: boolean;
}

export interface NodeHealth {
  /** Whether this node can answer questions. */
  readonly ok: boolean;
  /** Why it should rather not be sent any, though it may answer: its copy is old, or it was replaced. Undefined where nothing speaks against it. */
  readonly degraded?: string | undefined;
  /** Whether it can store what it should. */
  readonly storageOk: boolean;
  readonly role: Node["role"];
  readonly state: ReplicaStateName;
  readonly epoch: string | null;
  readonly term: number | null;
  readonly offset: number | null;
  readonly digest: string | null;
  /** How long ago this copy was last known to be the newest. Null before there is one. */
  readonly ageMs: number | null;
  /** How long the last event was under way from its commit on the primary to its visibility here; null before one came. */
  readonly visibleAfterMs?: number | null;
  /** Whether there is a connection to at least one broker. */
  readonly feedConnected: boolean;
  /** In the order of the setting. */
  readonly brokers: readonly BrokerStatus[];
  /** Nodes that are connected to the embedded broker, where there is one. */
  readonly brokerClients?: number;
  /** The node whose promotion an edge waits for, without counting for acknowledgements meanwhile. */
  readonly pledgedTo?: string;
  /** The other history that a node around this one has, which this one does not take over. */
  readonly foreignHistory?: string;
  /** Events that only a primary has that was replaced. */
  readonly unreplicated?: number;
}
