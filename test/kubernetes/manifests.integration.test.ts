/**
 * The manifests of `appliance/kubernetes`: the rendered text, the names that refer to each other, and the connections
 * that the settings need and the policies permit. UPDATE=1 writes the rendered texts; then read the diff.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { newAdminKey, randomHex } from "../../scripts/node-process.ts";
import type { Config } from "../../src/config/config.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parseYaml } from "../../src/runtime/yaml.ts";
import { must } from "../../src/util/assert.ts";
import { expectGolden } from "../golden.ts";
import {
  type Container,
  containersOf,
  type Labels,
  labelsOf,
  type Manifests,
  matches,
  namespace,
  nodeContainersOf,
  readManifests,
  render,
  variantNames,
  type Workload,
} from "./manifests.ts";
import { prepareContainer } from "./pod.ts";
import { problemsOf } from "./schemas.ts";

const secrets = {
  "ostiary-keys": { "node-key": randomHex(32), "admin-key": newAdminKey() },
  "ostiary-broker": { "primary-password": randomHex(16), "edge-password": randomHex(16) },
};

describe.each(variantNames)("%s", (variant) => {
  const text = render(variant);
  const manifests = readManifests(text);
  const { workloads, services, networkPolicies, budgets } = manifests;
  let nodes: readonly RunningContainer[] = [];

  beforeAll(() => {
    nodes = workloads.flatMap((workload) =>
      nodeContainersOf(workload).map((container) => ({
        workload,
        container,
        config: configOf(manifests, workload, container),
      })),
    );
  });

  test("is rendered as before", () => expectGolden(join(import.meta.dirname, "golden", `${variant}.txt`), text));

  test("has the form that Kubernetes' schemas demand", () =>
    expect(manifests.all.flatMap((manifest) => problemsOf(manifest))).toEqual([]));

  test("has no key and no password", () => {
    expect(manifests.all.filter(({ kind }) => kind === "Secret")).toEqual([]);
    expect(text).not.toMatch(/\be_[\w-]+_[\w-]+_\w{16,}/);
  });

  test("has no two objects with one name", () => {
    const names = manifests.all.map(({ apiVersion, kind, metadata }) => `${apiVersion} ${kind} ${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test("has selectors that match", () => {
    for (const workload of workloads) expect(workload.spec.selector.matchLabels).toMatchObject(ownLabels(workload));
    const selectors = [
      ...services.map(({ spec }) => spec.selector),
      ...budgets.map(({ spec }) => spec.selector.matchLabels),
      ...networkPolicies.map(({ spec }) => spec.podSelector.matchLabels),
    ];
    for (const selector of selectors) expect(selected(workloads, selector)).not.toEqual([]);
    // No controller takes the pods of another one.
    for (const { spec } of workloads) expect(selected(workloads, spec.selector.matchLabels)).toHaveLength(1);
  });

  test("has Services whose ports exist in each of their pods", () => {
    for (const { spec } of services)
      for (const workload of selected(workloads, spec.selector))
        for (const { targetPort } of spec.ports) expect(portOf(workload, targetPort)).toBeGreaterThan(0);
  });

  test("has probes of ports that exist, and none that restarts a node because of its data", () => {
    for (const container of workloads.flatMap(containersOf)) {
      const { startupProbe, livenessProbe, readinessProbe } = container;
      for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
        const port = probe?.httpGet?.port ?? probe?.tcpSocket?.port;
        if (port !== undefined) expect(container.ports.map(({ name }) => name)).toContain(String(port));
      }
    }
    for (const { container } of nodes) {
      const { startupProbe, livenessProbe } = container;
      for (const probe of [startupProbe, livenessProbe])
        if (probe !== undefined) expect(probe.httpGet?.path).toBe("/livez");
      expect(livenessProbe).toBeDefined();
    }
  });

  test("has budgets that permit maintenance, and keep a node", () => {
    for (const { spec } of budgets) {
      const pods = selected(workloads, spec.selector.matchLabels).reduce(
        (sum, { spec: of }) => sum + must(of.replicas),
        0,
      );
      const remaining = spec.minAvailable ?? pods - must(spec.maxUnavailable);
      expect(remaining).toBeGreaterThan(0);
      expect(remaining).toBeLessThan(pods);
    }
  });

  test("runs all containers without privileges", () => {
    for (const { spec } of workloads) {
      const { containers, initContainers } = spec.template.spec;
      for (const { securityContext } of [...containers, ...initContainers])
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
    }
  });

  test("refers to objects that exist", () => {
    const exists = (kind: string, name: string): boolean =>
      manifests.all.some((object) => object.kind === kind && object.metadata.name === name);
    for (const { spec } of workloads) {
      const { serviceAccountName, volumes } = spec.template.spec;
      if (serviceAccountName !== undefined) expect(exists("ServiceAccount", serviceAccountName)).toBe(true);
      if (spec.serviceName !== undefined) expect(exists("Service", spec.serviceName)).toBe(true);
      for (const { configMap } of volumes)
        if (configMap !== undefined) expect(exists("ConfigMap", configMap.name)).toBe(true);
    }
    for (const { roleRef, subjects } of manifests.roleBindings) {
      expect(exists("Role", roleRef.name)).toBe(true);
      expect(subjects.map((subject) => subject.namespace)).toEqual([namespace]);
      for (const { kind, name } of subjects) expect(exists(kind, name)).toBe(true);
    }
  });

  test("has settings that are accepted", () => {
    expect(nodes.length).toBeGreaterThan(0);
    for (const { config } of nodes) {
      expect(config.environment).toBe("default");
      expect(config.data).toEndWith("/data/node");
    }
  });

  test("stops nodes before Kubernetes ends them", () => {
    for (const { workload, container } of nodes) {
      const { terminationGracePeriodSeconds = 30 } = workload.spec.template.spec;
      const pauseS = container.lifecycle?.preStop.sleep.seconds ?? 0;
      expect(terminationGracePeriodSeconds).toBeGreaterThanOrEqual(pauseS + defaultLimits.stopGraceMs / 1000 + 10);
    }
  });

  test("lets only nodes acknowledge writes that can become the primary", () => {
    const acknowledging = nodes.filter(({ config }) => config.ack > 0);
    if (acknowledging.length === 0) return;
    const edges = nodes.filter(({ config }) => config.role !== "fallback");
    expect(acknowledging).toEqual(edges);
    const pods = edges.flatMap(({ workload }) => podNamesOf(workload)).toSorted();
    for (const { config } of edges)
      expect(config.peers.map((url) => new URL(url).hostname.split(".")[0]).toSorted()).toEqual(pods);
  });

  test("keeps edges in the Services while the primary is away", () => {
    const hourMs = 3_600_000;
    for (const { config } of nodes.filter(({ config: { role } }) => role === "edge"))
      expect(config.limits.readyAgeMsMax).toBeGreaterThanOrEqual(hourMs);
  });

  test("permits the connections that the settings need", () => {
    for (const { workload, config } of nodes)
      for (const url of urlsIn(config)) {
        const { hostname, port } = new URL(url);
        // The application's Deployment is an example in a cluster with the base.
        const cluster = variant === "fallback-sidecar" ? readManifests(render("base")) : manifests;
        const target = targetOf(cluster, hostname);
        expect({ url, port: target.port }).toEqual({ url, port: Number(port) });
        const from = { labels: labelsOf(workload) };
        expect({ url, isPermitted: permits(cluster, from, target.workload, target.port) }).toEqual({
          url,
          isPermitted: true,
        });
      }
  });
});

test("what Kubernetes' schemas do not permit is noticed", () => {
  const budget = { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: { name: "a" } };
  const problems = (spec: object): string[] => problemsOf({ ...budget, spec } as typeof budget);
  expect(problems({ maxUnavailable: 1 })).toEqual([]);
  expect(problems({ maxUnavailble: 1 })).toEqual(["/spec/maxUnavailble: no such field"]);
  expect(problems({ selector: { matchLabels: { a: 1 } } })).toEqual([
    "data/spec/selector/matchLabels/a must be string",
  ]);
  expect(problems({ selector: { matchExpressions: [{ key: "a" }] } })).toEqual([
    "data/spec/selector/matchExpressions/0 must have required property operator",
  ]);
  expect(problemsOf({ apiVersion: "policy/v1beta1", kind: "PodDisruptionBudget" })).toEqual([
    "no schema for policy/v1beta1 PodDisruptionBudget",
  ]);
});

describe("the network policies", () => {
  const of = (variant: (typeof variantNames)[number]): Manifests => readManifests(render(variant));
  const client = { labels: { "ostiary/client": "true" }, namespace: "shop" };
  const stranger = { labels: { app: "other" }, namespace: "shop" };
  const prometheus = { labels: { "app.kubernetes.io/name": "prometheus" }, namespace: "monitoring" };

  test("let clients and nodes in, and nobody else", () => {
    const base = of("base");
    for (const workload of base.workloads) {
      expect(permits(base, client, workload, 8080)).toBe(true);
      expect(permits(base, stranger, workload, 8080)).toBe(false);
      expect(permits(base, prometheus, workload, 8080)).toBe(false);
      expect(permits(base, client, workload, 1883)).toBe(false);
      for (const other of base.workloads) expect(permits(base, { labels: labelsOf(other) }, workload, 8080)).toBe(true);
    }
  });

  test("let Prometheus in with the component `monitoring`", () => {
    const monitored = of("monitoring");
    // The operator leaves them out, and Prometheus then takes an expression that matches everything.
    expect(render("monitoring")).not.toMatch(/regex: (?:""|''|)$/m);
    for (const workload of monitored.workloads) {
      expect(permits(monitored, prometheus, workload, 8080)).toBe(true);
      expect(permits(monitored, { ...prometheus, namespace: "shop" }, workload, 8080)).toBe(false);
      expect(permits(monitored, stranger, workload, 8080)).toBe(false);
    }
  });

  test("let only nodes reach the broker", () => {
    const manifests = of("mosquitto");
    const broker = must(manifests.workloads.find(({ metadata }) => metadata.name === "mosquitto"));
    const nodes = manifests.workloads.filter((workload) => workload !== broker);
    for (const node of nodes) {
      expect(permits(manifests, { labels: labelsOf(node) }, broker, 1883)).toBe(true);
      expect(permits(manifests, { labels: labelsOf(broker) }, node, 8080)).toBe(false);
    }
    for (const other of [client, stranger, prometheus]) expect(permits(manifests, other, broker, 1883)).toBe(false);
  });

  test("let nodes out to the DNS of OpenShift, which has another port", () => {
    const manifests = of("openshift");
    const dns = { labels: {}, namespace: "openshift-dns" };
    for (const workload of manifests.workloads) {
      const from = { labels: labelsOf(workload) };
      expect(leaves(manifests, from, dns, 5353)).toBe(true);
      expect(leaves(manifests, from, { ...dns, namespace: "shop" }, 5353)).toBe(false);
    }
  });

  test("let nodes out to the DNS, and only those of the Lease to the API server", () => {
    for (const variant of ["base", "failover"] as const) {
      const manifests = of(variant);
      for (const workload of manifests.workloads) {
        const from = { labels: labelsOf(workload) };
        expect(leaves(manifests, from, undefined, 53)).toBe(true);
        expect(leaves(manifests, from, undefined, 5432)).toBe(false);
        for (const port of [443, 6443]) expect(leaves(manifests, from, undefined, port)).toBe(variant === "failover");
      }
    }
  });
});

test("the Prometheus operator has the alerts of `ostiary.rules.yaml`", () => {
  const rules = readFileSync(join(projectRoot, "appliance/observability/ostiary.rules.yaml"), "utf8");
  const groups = rules.slice(rules.indexOf("groups:\n")).replaceAll(/^(?=.)/gm, "  ");
  expectGolden(
    join(projectRoot, "appliance/kubernetes/components/monitoring/prometheus-rule.yaml"),
    `# The alerts of appliance/observability/ostiary.rules.yaml; a test writes this file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ostiary
  labels:
    app.kubernetes.io/name: ostiary
spec:
${groups}`,
  );
});

test("the broker has the files of `compose/mosquitto`", () => {
  for (const name of ["acl", "mosquitto.conf", "start.sh"]) {
    const [shipped, copy] = ["compose/mosquitto", "appliance/kubernetes/components/mosquitto"].map((folder) =>
      readFileSync(join(projectRoot, folder, name), "utf8"),
    );
    expect(copy).toBe(must(shipped));
  }
});

interface RunningContainer {
  readonly workload: Workload;
  readonly container: Container;
  readonly config: Config;
}

/** The settings with which a container starts. */
function configOf(manifests: Manifests, workload: Workload, container: Container): Config {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-pod-"));
  try {
    const name = must(podNamesOf(workload)[0]);
    const { parameters, environment } = prepareContainer({ manifests, workload, container, name, folder, secrets });
    const [command, ...flags] = parameters;
    expect(command).toBe("serve");
    const given = Object.fromEntries(
      flags.flatMap((flag, index) => (index % 2 === 0 ? [[flag.replace(/^--/, ""), must(flags[index + 1])]] : [])),
    );
    const { config: path, ...settings } = given;
    const file = path === undefined ? undefined : { name: path, content: parseYaml(readFileSync(path, "utf8")) };
    const { config, problems, warnings } = loadConfig({ file, environment, flags: settings });
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    return must(config);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function podNamesOf({ kind, metadata, spec }: Workload): string[] {
  const count = kind === "DaemonSet" ? 1 : must(spec.replicas);
  return Array.from({ length: count }, (_, index) => `${metadata.name}-${index}`);
}

/** The addresses of other nodes and of brokers. */
function urlsIn({ primary, peers, broker }: Config): string[] {
  return [...(primary === undefined ? [] : [primary]), ...peers, ...broker.filter((url) => url !== "embedded")];
}

/** The pods behind a host name, and their port. */
function targetOf(
  { workloads, services }: Manifests,
  host: string,
): { readonly workload: Workload; readonly port: number } {
  const [first = "", second] = host.split(".");
  const service = must(
    services.find(({ metadata }) => metadata.name === (second ?? first)),
    `no Service for ${host}`,
  );
  const { port, targetPort } = must(service.spec.ports[0]);
  const behind = selected(workloads, service.spec.selector);
  if (second === undefined) return { workload: must(behind[0]), port };
  // A pod of a StatefulSet has a name in the headless Service of the set, also while it is not ready.
  expect(service.spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true });
  const workload = must(
    behind.find((each) => podNamesOf(each).includes(first)),
    `no pod ${first} in ${second}`,
  );
  expect(workload).toMatchObject({ kind: "StatefulSet", spec: { serviceName: second } });
  return { workload, port: portOf(workload, targetPort) };
}

function ownLabels({ spec }: Workload): Labels {
  const { labels } = spec.template.metadata;
  return Object.fromEntries(Object.keys(spec.selector.matchLabels).map((name) => [name, labels[name] ?? "missing"]));
}

const selected = (workloads: readonly Workload[], selector: Labels): readonly Workload[] =>
  workloads.filter((workload) => matches(selector, labelsOf(workload)));

/** The number of a port by its name or number; 0 if no container has it. */
function portOf(workload: Workload, port: string | number): number {
  const ports = containersOf(workload).flatMap((each) => each.ports);
  return ports.find(({ name, containerPort }) => name === port || containerPort === port)?.containerPort ?? 0;
}

interface Client {
  readonly labels: Labels;
  /** Undefined for that of the manifests. */
  readonly namespace?: string;
}

/** Whether the policies permit a connection to a port of a workload. */
function permits(manifests: Manifests, from: Client, to: Workload, port: number): boolean {
  return enters(manifests, from, to, port) && leaves(manifests, from, { labels: labelsOf(to), workload: to }, port);
}

function enters({ networkPolicies }: Manifests, from: Client, to: Workload, port: number): boolean {
  const policies = networkPolicies.filter(
    ({ spec }) => spec.policyTypes.includes("Ingress") && matches(spec.podSelector.matchLabels, labelsOf(to)),
  );
  if (policies.length === 0) return true;
  return policies.some(({ spec }) =>
    spec.ingress.some(({ from: peers, ports }) => peers.some((peer) => isPeer(peer, from)) && hasPort(ports, to, port)),
  );
}

interface Target extends Client {
  /** Undefined for pods that are not in the manifests. */
  readonly workload?: Workload;
}

/** `to` is undefined for an address that is not that of a pod. */
function leaves({ networkPolicies }: Manifests, from: Client, to: Target | undefined, port: number): boolean {
  const policies = networkPolicies.filter(
    ({ spec }) =>
      from.namespace === undefined &&
      spec.policyTypes.includes("Egress") &&
      matches(spec.podSelector.matchLabels, from.labels),
  );
  if (policies.length === 0) return true;
  return policies.some(({ spec }) =>
    spec.egress.some(
      ({ to: peers, ports }) =>
        (peers?.some((peer) => to !== undefined && isPeer(peer, to)) ?? true) && hasPort(ports, to?.workload, port),
    ),
  );
}

type Peer = NonNullable<Manifests["networkPolicies"][number]["spec"]["egress"][number]["to"]>[number];

function isPeer({ podSelector, namespaceSelector }: Peer, { labels, namespace }: Client): boolean {
  const inNamespace =
    namespaceSelector === undefined
      ? namespace === undefined
      : matches(namespaceSelector.matchLabels ?? {}, { "kubernetes.io/metadata.name": namespace ?? "ostiary" });
  return inNamespace && matches(podSelector?.matchLabels ?? {}, labels);
}

function hasPort(
  ports: readonly { readonly port: string | number }[],
  to: Workload | undefined,
  port: number,
): boolean {
  return ports.some((each) => each.port === port || (to !== undefined && portOf(to, each.port) === port));
}
