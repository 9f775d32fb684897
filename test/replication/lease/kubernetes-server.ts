/**
 * A test server with the part of the Kubernetes API that a Lease object needs, following its documentation. It answers
 * 409 to creating an existing object and to an update of another `resourceVersion` than the current one, 404 for an
 * unknown object, 401 for a wrong bearer token, and 422 for what the function ValidateLeaseSpec of Kubernetes refuses.
 */
import * as Bun from "bun";
import type { Certificate } from "../../e2e/certificates.ts";

interface LeaseObject {
  metadata: { name: string; namespace: string; resourceVersion?: string; annotations?: Record<string, string> };
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number; leaseTransitions?: number; renewTime?: string };
}

export interface KubernetesServer {
  readonly port: number;
  /** By namespace and name. */
  readonly objects: Map<string, LeaseObject>;
  /** The bearer token that it accepts. */
  token: string;
  stop(): Promise<void>;
}

const place = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/;

export function startKubernetes(token: string, server?: Certificate): KubernetesServer {
  const objects = new Map<string, LeaseObject>();
  let version = 1000;
  const store = (key: string, object: LeaseObject, status: number): Response => {
    const problem = specProblem(object.spec);
    if (problem !== undefined) return refusal(422, "Invalid", problem);
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++version), uid: "u" } };
    objects.set(key, stored);
    return Response.json(stored, { status });
  };
  const answer = async (request: Request): Promise<Response> => {
    if (request.headers.get("Authorization") !== `Bearer ${result.token}`)
      return refusal(401, "Unauthorized", "Unauthorized");
    const [, namespace = "", name] = place.exec(new URL(request.url).pathname) ?? [];
    const body = request.method === "GET" ? undefined : ((await request.json()) as LeaseObject);
    if (request.method === "POST" && body !== undefined) {
      const key = `${namespace}/${body.metadata.name}`;
      if (objects.has(key)) return refusal(409, "AlreadyExists", `leases "${body.metadata.name}" already exists`);
      return store(key, body, 201);
    }
    const key = `${namespace}/${name}`;
    const current = objects.get(key);
    if (current === undefined) return refusal(404, "NotFound", `leases "${name}" not found`);
    if (body === undefined) return Response.json(current);
    if (body.metadata.resourceVersion !== current.metadata.resourceVersion)
      return refusal(409, "Conflict", "the object has been modified; please apply your changes to the latest version");
    return store(key, body, 200);
  };
  const tls = server === undefined ? {} : { tls: { cert: Bun.file(server.cert), key: Bun.file(server.key) } };
  const listener = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer, ...tls });
  const result: KubernetesServer = { port: listener.port ?? 0, objects, token, stop: () => listener.stop(true) };
  return result;
}

function specProblem(spec: LeaseObject["spec"]): string | undefined {
  if (spec?.leaseDurationSeconds !== undefined && !(spec.leaseDurationSeconds > 0))
    return "spec.leaseDurationSeconds: must be greater than 0";
  if (spec?.leaseTransitions !== undefined && !(spec.leaseTransitions >= 0))
    return "spec.leaseTransitions: must be greater than or equal to 0";
  if (spec?.renewTime !== undefined && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(spec.renewTime))
    return "spec.renewTime: is no MicroTime";
  return undefined;
}

function refusal(code: number, reason: string, message: string): Response {
  return Response.json({ kind: "Status", status: "Failure", reason, message, code }, { status: code });
}
