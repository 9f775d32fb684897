/** The interface of a running node, whatever its role: what the HTTP API and the command line use. */
import type { Duplex } from "node:stream";
import type { Engine } from "../engine/engine.ts";
import type { FactChange } from "../log/event/event.ts";
import type { SharedDatabase } from "../store/connection/answer-gate.ts";
import type { StoreState } from "../store/log/store-state.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import type { Clock } from "../util/clock.ts";
import type { KeyUses } from "./key-uses.ts";
import type { KeyChanges } from "../log/append/key-changes.ts";
import type { PolicyUpload, WriteMeta, WriteResult } from "../log/append/append.ts";
import type { EventReader } from "../log/reader/event-reader.ts";
import type { AuditDraft } from "../store/log/audit-entry.ts";
import type { AuditLog } from "./audit/audit-recorder.ts";
import type { NodeHealth } from "./node-health.ts";
import type { ForwardedClient } from "./transport/forwarded-client.ts";
import type { SurveyedNode, Wanted } from "./transport/reports.ts";
import type { ApiKeyLookup } from "./transport/node-client.ts";

export interface Node {
  readonly role: NodeHealth["role"];
  readonly id: string;
  readonly environment: string;
  /** Of a primary: SHA-256 of the node keys. */
  readonly nodeKeyHashes?: NodeKeyHashes | undefined;
  /** Decides whether an API key has expired. */
  readonly clock: Clock;
  readonly keyUses: Pick<KeyUses, "record" | "lastUsedMs">;
  /** Call it for each request: a snapshot may replace the database. AppError `not_ready` without a database. */
  engine(): Engine;
  /** With it, other threads of the process answer as `engine` does. */
  readonly shared: SharedDatabase;
  /** The events of this node's log. Undefined for a fallback that only fetches snapshots. */
  readonly events: EventReader | undefined;
  /** Only a primary has it. */
  readonly writes: Writes | undefined;
  /** Only on an edge. Forwards a write to the primary, and answers when it is applied here or the wait is over. */
  readonly forward: ((request: ForwardedRequest) => Promise<ForwardedAnswer>) | undefined;
  /** Only on an edge. Looks up an unknown API key at the primary. AppError `not_ready` if that fails. */
  readonly lookUpKey?: ((key: string) => Promise<ApiKeyLookup>) | undefined;
  /**
   * Resolves when this node has applied the token's position. AppError `invalid_request` (malformed), `conflict` (not
   * part of this history), `not_ready` (not in time). A fallback resolves at once, whatever the token.
   */
  waitFor(token: string): Promise<void>;
  /** Waits for the position that the primary has now; not on a fallback. AppError `not_ready` if that fails. */
  waitForLatest(): Promise<void>;
  /** AppError `not_ready` if the data is older than the configuration allows. */
  requireFresh(): void;
  /** Returns whether the error is damage. Then the node no longer answers from that file. */
  reportDamage(error: unknown): boolean;
  /** This node's position, if it has a database. The same object until the position or the database changes. */
  state(): StoreState | undefined;
  health(): NodeHealth;
  /** What all nodes of the environment say about themselves, and about an event or a trace. AppError `too_many_requests`. */
  survey(wanted: Wanted): Promise<readonly SurveyedNode[]>;
  readonly audit: AuditLog;
  /** Only of a primary: the client that an edge names in a request that it has forwarded; undefined if it is forged. */
  readonly forwardedClient?: ((header: string, requestId: string) => ForwardedClient | undefined) | undefined;
  /** Makes this node the primary, in a new epoch. Only an edge has it, and a replaced primary without peers. */
  readonly promote: ((options: PromoteOptions) => Promise<Promoted>) | undefined;
  /** What `promote` would do now. Only an edge has it. Changes nothing. */
  readonly previewPromotion?: ((options: PromoteOptions) => Promise<PromotionPreview>) | undefined;
  /** Answers authenticated requests below `/replication/`. Undefined for a node that serves no other nodes. */
  replication(request: Request): Promise<Response> | undefined;
  /** Answers all long polls of other nodes now, because this node is about to end. */
  readonly endLongPolls?: () => void;
  /** AppError `not_ready` without data, `too_many_requests` while another backup is made. */
  backup(): Promise<Response>;
  /** Takes over an MQTT connection that arrived as a WebSocket. Undefined without an embedded broker. */
  readonly mqttConnection: ((connection: Duplex) => void) | undefined;
  stop(): Promise<void>;
}

/** Each write resolves when it is committed. An AppError says why a write was refused; then nothing changed. */
export interface Writes {
  /** The first epoch of the history that the writes continue. */
  readonly history: string;
  /** A string holds the changes as JSON. */
  batch(changes: readonly FactChange[] | string, meta: WriteMeta): Promise<WriteResult>;
  policy(upload: PolicyUpload, meta: WriteMeta): Promise<WriteResult>;
  clear(meta: WriteMeta): Promise<WriteResult>;
  keys(change: KeyChanges, meta: WriteMeta): Promise<WriteResult>;
}

export interface ForwardedRequest {
  readonly method: string;
  readonly requestId: string;
  /** The IP address of the client, if it is known. */
  readonly address: string | null;
  /** Path and query. */
  readonly path: string;
  /** The client's headers that the primary needs: authorization, content type, request id, trace context. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string | null;
}

export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface PromoteOptions {
  /** Promotes even if the primary still answers or another node has more events: only a later epoch prevents it. */
  readonly force: boolean;
  /** The primary stops its writes first, and this node fetches the events that it lacks. Not with `force`. */
  readonly graceful?: boolean;
  /** Who asks, for the audit log. */
  readonly audit?: AuditDraft | undefined;
  /** Whether the node itself asks, and no operator. Without a lease it then needs the vote of another node. */
  readonly automatic?: boolean;
}

export interface Promoted {
  readonly epoch: string;
  /** The last event of the previous epoch that the new epoch contains. */
  readonly offset: number;
}

/** What a promotion would do now, as far as that is known without the votes of other nodes. */
export interface PromotionPreview {
  /** Why it would be refused; empty if nothing that is known prevents it. */
  readonly reasons: readonly string[];
  /** What it may lose, and what it waits for. */
  readonly warnings: readonly string[];
  readonly primary: { readonly url: string; readonly answers: boolean };
  /** The other nodes. A node that does not answer has only its URL. */
  readonly nodes: readonly {
    readonly url: string;
    readonly node: string | undefined;
    readonly role: NodeHealth["role"] | undefined;
    readonly offset: number | undefined;
  }[];
  /** How many events nodes that answer have, and this one lacks: it fetches them first. */
  readonly missingEvents: number;
  /** How many events the primary is known to have, and no node that answers. Undefined if its position is not known. */
  readonly lostEvents: number | undefined;
}
