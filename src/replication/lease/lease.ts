/**
 * The lease of the primary, stored in an external coordination service (etcd, Kubernetes, S3). It says which node may
 * act as the primary, and for how long. It does not protect acknowledged writes: the votes of the edges and `--ack` do.
 */
import { z } from "zod";
import { describeProblem } from "../../util/bounded-schema.ts";
import { parseJson } from "./service-calls.ts";

const id = z.string().min(1).max(1000);

/** The record in the service. It remains when the lease expires or is released, so that terms only increase. */
export const storedRecordSchema = z.object({
  /** The term of the primary under this lease. Each acquisition begins a later failover term (`terms.ts`). */
  term: z.int().nonnegative(),
  /** The id of the node that holds the lease, or held it last. */
  node: id,
  /** Distinguishes processes of one node. */
  token: id,
  /** The only node that may acquire the lease before it expires. */
  successor: id.optional(),
  /** Whether a history has begun under this lease or an earlier one. Then no node begins a new one. */
  hasHistory: z.boolean(),
  /** Released by its holder, so that no node has to wait. A renewal in flight must not undo it. */
  released: z.boolean().default(false),
  /** A new value for each write. So other nodes notice each write, and a writer recognizes its own. */
  renewal: id,
  /** How long the lease lasts, by its holder's setting. */
  ttlMs: z.number().positive(),
});
export type StoredRecord = z.output<typeof storedRecordSchema>;

/** Throws if it is not a record: another program writes to the same place. */
export function parseRecord(text: string, place: string): StoredRecord {
  const value = parseJson(text);
  if (value === undefined) throw new Error(`${place} holds no lease of Ostiary: it is not JSON`);
  const parsed = storedRecordSchema.safeParse(value);
  if (!parsed.success) throw new Error(`${place} holds no lease of Ostiary: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

export type LeaseRecord = Readonly<Omit<StoredRecord, "released" | "renewal" | "ttlMs">>;

export interface LeaseState {
  readonly record: LeaseRecord;
  /** Whether the lease is held as far as this node can know: neither released nor expired. */
  readonly isHeld: boolean;
}

/** Methods reject with LeaseLostError, or an Error that names the service if it gives no usable answer in time. */
export interface Lease {
  /** The coordination service, for messages; without secrets. */
  readonly service: string;
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
  /** With `successor`, only that node may acquire the lease until it expires. Does nothing if the lease is lost. */
  release(held: LeaseRecord, successor?: string): Promise<void>;
  /** Undefined if no node ever had the lease. */
  holder(): Promise<LeaseState | undefined>;
  close(): void;
}

/** Another node has the lease, or had it since. */
export class LeaseLostError extends Error {}

export interface LeaseOptions {
  /** The setting `failover`. */
  readonly url: string;
  /** The environment, if it is not the default one: each has a lease of its own. */
  readonly hostedEnvironment?: string | undefined;
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
