/**
 * The lease of the primary, kept in a coordination engine outside (etcd, Kubernetes, S3). It says which node may act as the primary, and for how long.
 * It does not keep acknowledged writes from being lost: the votes of the edges and `--ack` do that.
 */

/** What the engine stores. It stays there when the lease expires or is released, so that terms only grow. */
export interface LeaseRecord {
  /** Of the primary that acts under this lease. Each acquisition begins a later succession (`store/log/terms.ts`). */
  readonly term: number;
  /** The id of the node that holds the lease, or held it last. */
  readonly node: string;
  /** Tells processes of one node from each other. */
  readonly token: string;
  /** The only node that may take the lease before it expires. */
  readonly successor?: string | undefined;
  /** Whether a history has begun under this lease or an earlier one: then nobody begins a new one. */
  readonly hasHistory: boolean;
}

export interface LeaseState {
  readonly record: LeaseRecord;
  /** Whether the lease is held as far as can be known: neither released nor expired. */
  readonly isHeld: boolean;
}

/** Every method rejects with LeaseLostError or, where the engine gives no usable answer in time, with another Error that names it and says why. */
export interface Lease {
  /** The engine, for messages: without secrets. */
  readonly engine: string;
  /**
   * Takes the lease where it is free, and resolves with a record of a term that is later than `minTerm` and than all before. Undefined where another node
   * holds it. With `force` it is taken from its holder.
   */
  acquire(minTerm: number, options?: { readonly force?: boolean }): Promise<LeaseRecord | undefined>;
  /**
   * Extends it by the time to live, counted from before the call, and stores `hasHistory`. An expired lease that nobody took since is held again. Rejects with
   * LeaseLostError where another node has taken it.
   */
  renew(held: LeaseRecord): Promise<void>;
  /** Gives it up; with `successor` that node alone may take it until it would have expired. Does nothing where it is lost. */
  release(held: LeaseRecord, successor?: string): Promise<void>;
  /** What the engine knows. Undefined where nobody ever had the lease. */
  holder(): Promise<LeaseState | undefined>;
  close(): void;
}

/** Another node has the lease, or had it since. */
export class LeaseLostError extends Error {}

export interface LeaseOptions {
  /** The setting `failover`. */
  readonly url: string;
  /** This node's id. */
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
