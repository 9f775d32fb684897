/**
 * The lease of the primary in etcd v3: one key that always holds the record and is only written in transactions that
 * compare its revision.
 *
 * It does not use the leases of etcd, which delete a key that no one keeps alive. An etcd leader that was suspended and
 * replaced meanwhile deletes keys that are alive by the clock of its successor (github.com/etcd-io/etcd/issues/15247;
 * etcd 3.5.16 still does when its process is stopped and continued). Then another node got the lease of the primary
 * while its holder had just renewed it. So the nodes observe the expiry themselves, as with the other engines.
 */
import { z } from "zod";
import { tlsFetchOptions, type TlsTexts } from "../../../runtime/fetch.ts";
import type { System } from "../../system.ts";
import { leaseCallTimeoutMs } from "./engine-calls.ts";
import { EtcdClient, int64 } from "./etcd-client.ts";
import type { EtcdLocation } from "../../../config/failover-url.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { RecordLease, type RecordStore, type RecordVersion } from "./record-lease.ts";
import { parseRecord, type StoredRecord } from "./stored-record.ts";

const keyValue = z.object({ value: z.string().default(""), mod_revision: int64 });
const rangeResponse = z.object({ kvs: z.array(keyValue).max(1).default([]) });
const txnResponse = z.object({ header: z.object({ revision: int64 }), succeeded: z.boolean().default(false) });

export function etcdLease(
  { protocol, hosts, prefix }: EtcdLocation,
  { node, ttlMs, username, password }: LeaseOptions,
  tls: TlsTexts,
  system: Pick<System, "fetch" | "clock">,
): Lease {
  const endpoints = hosts.map((host) => `${protocol}://${host}`);
  const budgetMs = leaseCallTimeoutMs(ttlMs);
  const client = new EtcdClient({ endpoints, username, password, budgetMs, tls: tlsFetchOptions(tls) }, system);
  const engine = `etcd at ${hosts.join(", ")}`;
  const remedy = "check that a majority of its members runs and that `failover` names them";
  return new RecordLease(new EtcdStore(client, `${prefix}/term`), { engine, remedy, node, ttlMs }, system.clock);
}

/** A key and the revision of its last modification. Reads are linearizable, which is etcd's default. */
class EtcdStore implements RecordStore<string> {
  readonly #client: EtcdClient;
  readonly #name: string;
  readonly #key: string;

  constructor(client: EtcdClient, name: string) {
    this.#client = client;
    this.#name = name;
    this.#key = base64(name);
  }

  async read(signal: AbortSignal): Promise<RecordVersion<string> | undefined> {
    const { kvs } = await this.#client.call("kv/range", { key: this.#key }, rangeResponse, signal);
    const [found] = kvs;
    if (found === undefined) return undefined;
    const text = Buffer.from(found.value, "base64").toString("utf8");
    return { record: parseRecord(text, `the key \`${this.#name}\``), origin: found.mod_revision };
  }

  async write(
    record: StoredRecord,
    replaced: RecordVersion<string> | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion<string> | undefined> {
    // A key that does not exist has revision 0.
    const compare = [{ target: "MOD", key: this.#key, mod_revision: replaced?.origin ?? "0" }];
    const success = [{ request_put: { key: this.#key, value: base64(JSON.stringify(record)) } }];
    const { header, succeeded } = await this.#client.call("kv/txn", { compare, success }, txnResponse, signal);
    return succeeded ? { record, origin: header.revision } : undefined;
  }
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
