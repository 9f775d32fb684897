/**
 * The lease of the primary as a Lease object of Kubernetes. The API server refuses to write an object that has changed
 * since it was read (`metadata.resourceVersion`). `kubernetes-object.ts` defines the content of the object.
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { tlsFetchOptions, type TlsTexts } from "../../../runtime/fetch.ts";
import { AppError } from "../../../util/app-error.ts";
import type { System } from "../../system.ts";
import { withAttemptTimeout, leaseCallTimeoutMs, readBoundedText } from "./engine-calls.ts";
import type { KubernetesLocation } from "../../../config/failover-url.ts";
import { apiVersion, toLeaseObject, parseLeaseObject, type LeaseObject } from "./kubernetes-object.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { RecordLease, type RecordStore, type RecordVersion } from "./record-lease.ts";
import { type StoredRecord } from "./stored-record.ts";

const status = z.object({ message: z.string() });

/** Where a pod finds the API server and its own credentials. */
export interface PodEnvironment {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly serviceAccount: string;
}

const pod: PodEnvironment = {
  environment: process.env,
  serviceAccount: "/var/run/secrets/kubernetes.io/serviceaccount",
};

/** Throws AppError `conflict` if the URL needs a pod and this process runs in none. */
export function kubernetesLease(
  place: KubernetesLocation,
  options: LeaseOptions,
  tls: TlsTexts,
  system: Pick<System, "fetch" | "clock">,
  surroundings = pod,
): Lease {
  const { node, ttlMs } = options;
  const { server, tls: trusted, authorization } = accessOf(place, options, tls, surroundings);
  const { namespace, name } = place;
  const store = new KubernetesStore(
    { server, namespace, name, authorization, tls: tlsFetchOptions(trusted) },
    ttlMs,
    system,
  );
  const engine = `Kubernetes at ${server} (Lease \`${namespace}/${name}\`)`;
  const remedy = "check that the API server runs and that a Role allows get, create and update of this Lease";
  return new RecordLease(store, { engine, remedy, node, ttlMs }, system.clock);
}

interface Access {
  readonly server: string;
  readonly tls: TlsTexts;
  readonly authorization: () => Promise<string | undefined>;
}

function accessOf(
  place: KubernetesLocation,
  { password }: LeaseOptions,
  tls: TlsTexts,
  { environment, serviceAccount }: PodEnvironment,
): Access {
  const bearer = (token: string): string => `Bearer ${token.trim()}`;
  if (place.server !== undefined) {
    const authorization = password === undefined ? undefined : bearer(password);
    return { server: place.server, tls, authorization: () => Promise.resolve(authorization) };
  }
  const [host, port] = [environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]];
  if (host === undefined || port === undefined)
    throw new AppError(
      "conflict",
      "`failover` begins with `kubernetes://`, but this process runs in no pod; use `kubernetes+https://host:port/namespace/name`",
    );
  const tokenPath = join(serviceAccount, "token");
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    tls: tls.ca === undefined ? { ...tls, ca: readAuthority(join(serviceAccount, "ca.crt")) } : tls,
    // Kubernetes replaces the token before it expires.
    authorization: async () => bearer(await readFile(tokenPath, "utf8")),
  };
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new AppError(
      "conflict",
      `\`failover\` needs the file \`${path}\`: let the pod mount its service account's token`,
    );
  }
}

interface KubernetesStoreOptions {
  readonly server: string;
  readonly namespace: string;
  readonly name: string;
  readonly authorization: () => Promise<string | undefined>;
  readonly tls: RequestInit;
}

class KubernetesStore implements RecordStore<LeaseObject> {
  readonly #options: KubernetesStoreOptions;
  readonly #collection: string;
  readonly #system: Pick<System, "fetch" | "clock">;
  readonly #timeoutMs: number;

  constructor(options: KubernetesStoreOptions, ttlMs: number, system: Pick<System, "fetch" | "clock">) {
    this.#options = options;
    this.#collection = `${options.server}/apis/${apiVersion}/namespaces/${options.namespace}/leases`;
    this.#system = system;
    this.#timeoutMs = Math.floor(leaseCallTimeoutMs(ttlMs) / 2);
  }

  async read(signal: AbortSignal): Promise<RecordVersion<LeaseObject> | undefined> {
    const { name } = this.#options;
    return await this.#request("GET", `/${name}`, undefined, signal);
  }

  async write(
    record: StoredRecord,
    replaced: RecordVersion<LeaseObject> | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion<LeaseObject> | undefined> {
    const { namespace, name } = this.#options;
    const body = toLeaseObject(record, replaced, { namespace, name, wallMs: this.#system.clock.wallMs() });
    return replaced === undefined
      ? await this.#request("POST", "", body, signal)
      : await this.#request("PUT", `/${name}`, body, signal);
  }

  /** Undefined if the object does not exist, or has changed since it was read. */
  async #request(
    method: string,
    path: string,
    body: object | undefined,
    outer: AbortSignal,
  ): Promise<RecordVersion<LeaseObject> | undefined> {
    const authorization = await this.#options.authorization();
    return await withAttemptTimeout(this.#system.clock, this.#timeoutMs, outer, async (signal) => {
      const response = await this.#system.fetch(`${this.#collection}${path}`, {
        method,
        headers: {
          Accept: "application/json",
          ...(authorization === undefined ? {} : { Authorization: authorization }),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
        redirect: "error",
        ...this.#options.tls,
      });
      const text = await readBoundedText(response);
      // A missing namespace also gives 404, but then creating the object fails as well.
      if (method === "POST" ? response.status === 409 : response.status === 404 || response.status === 409)
        return undefined;
      if (!response.ok) throw new Error(`${response.status} ${messageIn(text) ?? response.statusText}`);
      return parseLeaseObject(text);
    });
  }
}

function messageIn(text: string): string | undefined {
  try {
    return status.safeParse(JSON.parse(text)).data?.message;
  } catch {
    return undefined;
  }
}
