/**
 * Compares manifests with the JSON schemas of Kubernetes and of the Prometheus operator. The schemas permit fields that
 * they do not know, while a cluster warns of them and drops them: so a field that no schema reads is a problem too.
 */
import { PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { DaemonSet, Deployment, StatefulSet } from "kubernetes-models/apps/v1";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { Role, RoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import { ConfigMap, Service, ServiceAccount } from "kubernetes-models/v1";

const kinds = [
  ...[ConfigMap, Service, ServiceAccount, DaemonSet, Deployment, StatefulSet],
  ...[NetworkPolicy, PodDisruptionBudget, Role, RoleBinding, PrometheusRule, ServiceMonitor],
];

/** What the schema of the manifest's kind does not permit; empty if all is well. */
export function problemsOf(manifest: { readonly apiVersion: string; readonly kind: string }): string[] {
  const { apiVersion, kind } = manifest;
  const model = kinds.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (model === undefined) return [`no schema for ${apiVersion} ${kind}`];
  const unread = new Set(pathsIn(manifest));
  try {
    // The constructor would copy all fields, and so read them.
    model.prototype.validate.call(watched(manifest, "", (path) => unread.delete(path)));
  } catch (error) {
    return [(error as Error).message];
  }
  return [...unread].map((path) => `${path}: no such field`);
}

/** The paths of all fields at all depths. */
function pathsIn(value: unknown, path = ""): string[] {
  return isObject(value)
    ? Object.entries(value).flatMap(([name, inner]) => [`${path}/${name}`, ...pathsIn(inner, `${path}/${name}`)])
    : [];
}

/** The same value, which tells the path of each field that is read. */
function watched(value: unknown, path: string, onRead: (path: string) => void): unknown {
  if (!isObject(value)) return value;
  return new Proxy(value, {
    get: (target, name) => {
      const inner: unknown = Reflect.get(target, name);
      if (typeof name === "symbol") return inner;
      onRead(`${path}/${name}`);
      return watched(inner, `${path}/${name}`, onRead);
    },
  });
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
