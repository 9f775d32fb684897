/**
 * The lease of the primary as a Lease object of Kubernetes. The API server refuses to write an object that has changed
 * since it was read (`metadata.resourceVersion`). `kubernetes-object.ts` defines the content of the object.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { KubernetesLocation } from "../../config/failover-url.ts";
import { AppError } from "../../util/app-error.ts";
import { fileProblem } from "../../util/reason.ts";
import { readRegularFile } from "../../util/regular-file.ts";
import { renewedTlsFiles, type RenewedTlsFiles } from "../renewed-tls-files.ts";
import type { System } from "../system.ts";
import type { TlsFiles } from "../tls-files.ts";
import { apiVersion, toLeaseObject, parseLeaseObject, type LeaseObject } from "./kubernetes-object.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { RecordLease, type RecordStore, type RecordVersion } from "./record-lease.ts";
import { leaseCallTimeoutMs, parseJson, readBoundedText, withAttemptTimeout } from "./service-calls.ts";

const status = z.object({ message: z.string() });

/** Some times the size of a token with many audiences. */
const tokenBytesMax = 64 * 1024;

/** Where a pod finds the API server and its own credentials. */
const pod = {
  environment: process.env as Readonly<Record<string, string | undefined>>,
  serviceAccount: "/var/run/secrets/kubernetes.io/serviceaccount",
};

/** Throws AppError `conflict` if the URL needs a pod and this process runs in none. */
export function kubernetesLease(
  place: KubernetesLocation,
  options: LeaseOptions,
  paths: TlsFiles,
  system: Pick<System, "fetch" | "clock">,
  surroundings = pod,
): Lease {
  const { node, ttlMs } = options;
  const access = accessOf(place, options, paths, surroundings);
  const service = `Kubernetes at ${access.server} (Lease \`${place.namespace}/${place.name}\`)`;
  const remedy = "check that the API server runs and that a Role allows get, create and update of this Lease";
  const store = kubernetesStore(place, access, ttlMs, system);
  return new RecordLease(store, { service, remedy, node, ttlMs }, system.clock);
}

interface Access {
  readonly server: string;
  readonly tls: RenewedTlsFiles;
  readonly authorization: () => Promise<string | undefined>;
}

function accessOf(
  place: KubernetesLocation,
  { password }: LeaseOptions,
  paths: TlsFiles,
  { environment, serviceAccount }: typeof pod,
): Access {
  const bearer = (token: string): string => `Bearer ${token.trim()}`;
  if (place.server !== undefined) {
    const authorization = password === undefined ? undefined : bearer(password);
    return {
      server: place.server,
      tls: renewedTlsFiles("failover", paths),
      authorization: () => Promise.resolve(authorization),
    };
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
    tls: renewedTlsFiles("failover", { ...paths, ca: paths.ca ?? requireFile(join(serviceAccount, "ca.crt")) }),
    // Kubernetes replaces both files: the token before it expires.
    authorization: async () => bearer(await readToken(tokenPath)),
  };
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, tokenBytesMax)).bytes.toString();
  } catch (cause) {
    throw new Error(`the file \`${path}\` can't be read: ${fileProblem(cause)}`, { cause });
  }
}

function requireFile(path: string): string {
  if (existsSync(path)) return path;
  throw new AppError(
    "conflict",
    `\`failover\` needs the file \`${path}\`: let the pod mount its service account's token`,
  );
}

function kubernetesStore(
  { namespace, name }: KubernetesLocation,
  { server, tls, authorization }: Access,
  ttlMs: number,
  { fetch, clock }: Pick<System, "fetch" | "clock">,
): RecordStore<LeaseObject> {
  const collection = `${server}/apis/${apiVersion}/namespaces/${namespace}/leases`;
  const timeoutMs = Math.floor(leaseCallTimeoutMs(ttlMs) / 2);

  /** Undefined if the object does not exist, or has changed since it was read. */
  const request = async (
    method: string,
    path: string,
    body: object | undefined,
    outer: AbortSignal,
  ): Promise<RecordVersion<LeaseObject> | undefined> => {
    return await withAttemptTimeout(clock, timeoutMs, outer, async (signal) => {
      const token = await authorization();
      const response = await fetch(`${collection}${path}`, {
        method,
        headers: {
          Accept: "application/json",
          ...(token === undefined ? {} : { Authorization: token }),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
        redirect: "error",
        ...(await tls.fetchOptions()),
      });
      const text = await readBoundedText(response);
      // A missing namespace also gives 404, but then creating the object fails as well.
      if (response.status === 409 || (response.status === 404 && method !== "POST")) return undefined;
      if (!response.ok) {
        const { message = response.statusText } = status.safeParse(parseJson(text)).data ?? {};
        throw new Error(`${response.status} ${message}`);
      }
      return parseLeaseObject(text);
    });
  };
  return {
    read: (signal) => request("GET", `/${name}`, undefined, signal),
    async write(record, replaced, signal) {
      const body = toLeaseObject(record, replaced, { namespace, name, wallMs: clock.wallMs() });
      return await (replaced === undefined
        ? request("POST", "", body, signal)
        : request("PUT", `/${name}`, body, signal));
    },
  };
}
