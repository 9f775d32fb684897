/**
 * The lease of the primary in etcd v3: one key that always holds the record and is only written in transactions that
 * compare its revision.
 *
 * It does not use the leases of etcd, which delete a key that no one keeps alive. An etcd leader that was suspended and
 * replaced meanwhile deletes keys that are alive by the clock of its successor (github.com/etcd-io/etcd/issues/15247;
 * etcd 3.5.16 still does when its process is stopped and continued). Then another node got the lease of the primary
 * while its holder had just renewed it. So the nodes observe the expiry themselves, as with the other services.
 */
import { z } from "zod";
import type { EtcdLocation } from "../../config/failover-url.ts";
import { describeProblem } from "../../util/bounded-schema.ts";
import { reasonOf } from "../../util/reason.ts";
import type { RenewedTlsFiles } from "../renewed-tls-files.ts";
import type { System } from "../system.ts";
import { type Lease, type LeaseOptions, parseRecord } from "./lease.ts";
import { RecordLease, type RecordStore } from "./record-lease.ts";
import { leaseCallTimeoutMs, parseJson, readBoundedText, withAttemptTimeout } from "./service-calls.ts";

/** 64-bit integers are strings in JSON. Zero is omitted. */
const int64 = z.union([z.string().regex(/^-?\d+$/), z.int().transform(String)]).default("0");
const keyValue = z.object({ value: z.string().default(""), mod_revision: int64 });
const rangeResponse = z.object({ kvs: z.array(keyValue).max(1).default([]) });
const txnResponse = z.object({ header: z.object({ revision: int64 }), succeeded: z.boolean().default(false) });
const authenticated = z.object({ token: z.string().min(1) });
const refusal = z.object({ message: z.string().optional(), error: z.string().optional() });

export function etcdLease(
  { protocol, hosts, prefix }: EtcdLocation,
  options: LeaseOptions,
  tls: RenewedTlsFiles,
  system: Pick<System, "fetch" | "clock">,
): Lease {
  const { node, ttlMs } = options;
  const client = new EtcdClient(
    hosts.map((host) => `${protocol}://${host}`),
    options,
    tls,
    system,
  );
  const service = `etcd at ${hosts.join(", ")}`;
  const remedy = "check that a majority of its members runs and that `failover` names them";
  return new RecordLease(etcdStore(client, `${prefix}/term`), { service, remedy, node, ttlMs }, system.clock);
}

/** A key and the revision of its last modification. Reads are linearizable, which is etcd's default. */
function etcdStore(client: EtcdClient, name: string): RecordStore<string> {
  const key = base64(name);
  return {
    async read(signal) {
      const { kvs } = await client.call("kv/range", { key }, rangeResponse, signal);
      const [found] = kvs;
      if (found === undefined) return undefined;
      const text = Buffer.from(found.value, "base64").toString("utf8");
      return { record: parseRecord(text, `the key \`${name}\``), origin: found.mod_revision };
    },
    async write(record, replaced, signal) {
      // A key that does not exist has revision 0.
      const compare = [{ target: "MOD", key, mod_revision: replaced?.origin ?? "0" }];
      const success = [{ request_put: { key, value: base64(JSON.stringify(record)) } }];
      const { header, succeeded } = await client.call("kv/txn", { compare, success }, txnResponse, signal);
      return succeeded ? { record, origin: header.revision } : undefined;
    },
  };
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** Other members would refuse the request as well. */
class EtcdRefusal extends Error {}
class TokenRejectedError extends Error {}

/** A client of etcd's JSON gateway. If a member gives no usable answer, it asks the next one and stays with that. */
class EtcdClient {
  readonly #endpoints: readonly string[];
  readonly #options: LeaseOptions;
  readonly #tls: RenewedTlsFiles;
  readonly #system: Pick<System, "fetch" | "clock">;
  #preferred = 0;
  #token: string | undefined;

  /** `endpoints` has `http://host:port` of each member. */
  constructor(
    endpoints: readonly string[],
    options: LeaseOptions,
    tls: RenewedTlsFiles,
    system: Pick<System, "fetch" | "clock">,
  ) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#tls = tls;
    this.#system = system;
  }

  /** Asks the members in turn. A request may reach two of them, so it must be idempotent. */
  async call<T>(path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const endpoints = this.#endpoints;
    // Leaves time for the other members, and for another call.
    const timeoutMs = Math.floor(leaseCallTimeoutMs(this.#options.ttlMs) / (endpoints.length + 1));
    const failures: string[] = [];
    for (let tried = 0; tried < endpoints.length; tried++) {
      const member = this.#preferred;
      const endpoint = endpoints[member] ?? "";
      try {
        return await withAttemptTimeout(this.#system.clock, timeoutMs, signal, (limited) =>
          this.#authorized(endpoint, path, body, schema, limited),
        );
      } catch (error) {
        if (error instanceof EtcdRefusal) throw error;
        signal.throwIfAborted();
        failures.push(`${new URL(endpoint).host}: ${reasonOf(error)}`);
        if (this.#preferred === member) this.#preferred = (member + 1) % endpoints.length;
      }
    }
    throw new Error(failures.join(", "));
  }

  /** Logs in if credentials are configured, and again if the token has expired. */
  async #authorized<T>(
    endpoint: string,
    path: string,
    body: object,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { username, password = "" } = this.#options;
    if (username === undefined || this.#token !== undefined) {
      try {
        return await this.#post(endpoint, path, body, schema, signal, this.#token);
      } catch (error) {
        if (!(error instanceof TokenRejectedError)) throw error;
      }
    }
    const credentials = { name: username, password };
    const { token } = await this.#post(endpoint, "auth/authenticate", credentials, authenticated, signal);
    this.#token = token;
    return await this.#post(endpoint, path, body, schema, signal, token);
  }

  async #post<T>(
    endpoint: string,
    path: string,
    body: object,
    schema: z.ZodType<T>,
    signal: AbortSignal,
    token?: string,
  ): Promise<T> {
    const response = await this.#system.fetch(`${endpoint}/v3/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token === undefined ? {} : { Authorization: token }) },
      body: JSON.stringify(body),
      signal,
      redirect: "error",
      ...(await this.#tls.fetchOptions()),
    });
    const answer = parseJson(await readBoundedText(response));
    if (answer === undefined && response.ok) throw new Error("an answer that is not JSON");
    if (!response.ok) throw responseError(response.status, answer, token);
    const parsed = schema.safeParse(answer);
    if (!parsed.success) throw new Error(`an unexpected answer: ${describeProblem(parsed.error)}`);
    return parsed.data;
  }
}

/** The message decides, since versions use different status codes for an invalid token. */
function responseError(status: number, answer: unknown, token: string | undefined): Error {
  const { message, error = "no reason given" } = refusal.safeParse(answer).data ?? {};
  const reason = message ?? error;
  const text = `${status} ${reason}`;
  if (token !== undefined && /invalid auth token|revision of auth store is old/.test(reason))
    return new TokenRejectedError(text);
  return status >= 400 && status < 500 && status !== 408 && status !== 429 ? new EtcdRefusal(text) : new Error(text);
}
