/**
 * The lease of the primary, stored in an external coordination engine (etcd, Kubernetes, S3). It says which node may
 * act as the primary, and for how long. It does not protect acknowledged writes: the votes of the edges and `--ack` do.
 */

/** The record in the engine. It remains when the lease expires or is released, so that terms only increase. */
export interface LeaseRecord {
  /**
   * The term of the primary that acts under this lease. Each acquisition begins a later failover term
   * (`store/log/terms.ts`).
   */
  readonly term: number;
  /** The id of the node that holds the lease, or held it last. */
  readonly node: string;
  /** Distinguishes processes of one node. */
  readonly token: string;
  /** The only node that may acquire the lease before it expires. */
  readonly successor?: string | undefined;
  /** Whether a history has begun under this lease or an earlier one. Then no node begins a new one. */
  readonly hasHistory: boolean;
}

export interface LeaseState {
  readonly record: LeaseRecord;
  /** Whether the lease is held as far as this node can know: neither released nor expired. */
  readonly isHeld: boolean;
}

/**
 * Every method rejects with LeaseLostError, or with another Error that names the engine if that gives no usable answer
 * in time.
 */
export interface Lease {
  /** The engine, for messages; without secrets. */
  readonly engine: string;
  /**
   * Acquires the lease if it is free. Resolves with a record whose term is later than `minTerm` and all earlier terms.
   * Undefined if another node holds it. With `force`, the lease is taken from its holder.
   */
  acquire(minTerm: number, options?: { readonly force?: boolean }): Promise<LeaseRecord | undefined>;
  /**
   * Extends the lease by its time to live, counted from before the call, and stores `hasHistory`. An expired lease that
   * no node has acquired since is held again. Rejects with LeaseLostError if another node has acquired it.
   */
  renew(held: LeaseRecord): Promise<void>;
  /**
   * Releases the lease. With `successor`, only that node may acquire it until it expires. Does nothing if the lease is
   * lost.
   */
  release(held: LeaseRecord, successor?: string): Promise<void>;
  /** The state of the lease. Undefined if no node ever had it. */
  holder(): Promise<LeaseState | undefined>;
  close(): void;
}

/** Another node has the lease, or had it since. */
export class LeaseLostError extends Error {}

export interface LeaseOptions {
  /** The setting `failover`. */
  readonly url: string;
  /** The id of this node. */
  readonly node: string;
  /** How long the lease lasts without a renewal. */
  readonly ttlMs: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Paths of PEM files. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}
