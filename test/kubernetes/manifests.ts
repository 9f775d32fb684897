/**
 * The manifests of `appliance/kubernetes` as `kubectl kustomize` renders them, which needs no cluster, and the parts of
 * them that tests look at.
 */
import * as Bun from "bun";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { projectRoot } from "../../scripts/built-binary.ts";
import { programPath } from "../e2e/program.ts";

const folder = join(projectRoot, "appliance", "kubernetes");

/** The namespace of all objects, as the manual has it. */
export const namespace = "ostiary";

export type Variant =
  | "base"
  | "edges-daemonset"
  | "failover"
  | "mosquitto"
  | "monitoring"
  | "ipv6"
  | "openshift"
  | "everything"
  | "fallback-sidecar";

interface Kustomization {
  readonly resources: readonly string[];
  readonly components: readonly string[];
}

const withComponents = (...components: string[]): Kustomization => ({ resources: ["base"], components });

/** Folders below `appliance/kubernetes` for each variant that is tested. */
const variants: Readonly<Record<Variant, Kustomization>> = {
  base: withComponents(),
  "edges-daemonset": withComponents("edges-daemonset"),
  failover: withComponents("failover"),
  mosquitto: withComponents("mosquitto"),
  monitoring: withComponents("monitoring"),
  ipv6: withComponents("ipv6"),
  openshift: withComponents("openshift"),
  everything: withComponents("failover", "mosquitto", "monitoring", "ipv6", "openshift"),
  "fallback-sidecar": { resources: ["fallback-sidecar"], components: [] },
};
export const variantNames = Object.keys(variants) as Variant[];

const rendered = new Map<Variant, string>();

/** The text of all manifests of a variant. */
export function render(variant: Variant): string {
  const text = rendered.get(variant) ?? kustomize(variant);
  rendered.set(variant, text);
  return text;
}

function kustomize(variant: Variant): string {
  const { resources, components } = variants[variant];
  const place = realpathSync(mkdtempSync(join(tmpdir(), "ostiary-kustomize-")));
  try {
    const inside = (path: string): string => relative(place, join(folder, path));
    const kustomization = {
      apiVersion: "kustomize.config.k8s.io/v1beta1",
      kind: "Kustomization",
      namespace,
      resources: resources.map(inside),
      components: components.map((name) => inside(join("components", name))),
    };
    // YAML includes JSON.
    writeFileSync(join(place, "kustomization.yaml"), JSON.stringify(kustomization));
    const { success, stdout, stderr } = Bun.spawnSync([programPath("kubectl"), "kustomize", place]);
    if (!success || stderr.length > 0) throw new Error(`kubectl kustomize: ${stderr.toString()}`);
    return stdout.toString();
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

const labels = z.record(z.string(), z.string());
export type Labels = z.infer<typeof labels>;
const selector = z.looseObject({ matchLabels: labels });
const port = z.union([z.string(), z.number()]);
const httpGet = z.looseObject({ path: z.string(), port });
const probe = z.looseObject({
  httpGet: httpGet.optional(),
  tcpSocket: z.looseObject({ port }).optional(),
});
const keyReference = z.strictObject({ name: z.string(), key: z.string() });
const mappedItems = z.array(z.strictObject({ key: z.string(), path: z.string() }));

const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()).default([]),
  env: z
    .array(
      z.strictObject({
        name: z.string(),
        value: z.string().optional(),
        valueFrom: z
          .strictObject({
            fieldRef: z.looseObject({ fieldPath: z.string() }).optional(),
            secretKeyRef: keyReference.optional(),
          })
          .optional(),
      }),
    )
    .default([]),
  ports: z.array(z.looseObject({ name: z.string(), containerPort: z.number() })).default([]),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  lifecycle: z.looseObject({ preStop: z.looseObject({ sleep: z.looseObject({ seconds: z.number() }) }) }).optional(),
  resources: z
    .looseObject({ limits: z.looseObject({ memory: z.string().optional() }).default({}) })
    .default({ limits: {} }),
  volumeMounts: z
    .array(z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() }))
    .default([]),
  securityContext: z.looseObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.looseObject({ drop: z.array(z.string()) }),
  }),
});
export type Container = z.infer<typeof container>;

const volume = z.looseObject({
  name: z.string(),
  configMap: z.looseObject({ name: z.string() }).optional(),
  emptyDir: z.looseObject({}).optional(),
  secret: z.looseObject({ secretName: z.string(), defaultMode: z.number(), items: mappedItems }).optional(),
});

const workload = z.looseObject({
  kind: z.enum(["StatefulSet", "Deployment", "DaemonSet"]),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    replicas: z.number().optional(),
    serviceName: z.string().optional(),
    selector,
    volumeClaimTemplates: z.array(z.looseObject({ metadata: z.looseObject({ name: z.string() }) })).default([]),
    template: z.looseObject({
      metadata: z.looseObject({ labels }),
      spec: z.looseObject({
        serviceAccountName: z.string().optional(),
        enableServiceLinks: z.literal(false),
        terminationGracePeriodSeconds: z.number().optional(),
        securityContext: z.looseObject({
          runAsNonRoot: z.literal(true),
          seccompProfile: z.strictObject({ type: z.literal("RuntimeDefault") }),
          runAsUser: z.number().optional(),
          runAsGroup: z.number().optional(),
          fsGroup: z.number().optional(),
        }),
        initContainers: z.array(container).default([]),
        containers: z.array(container),
        volumes: z.array(volume).default([]),
      }),
    }),
  }),
});
export type Workload = z.infer<typeof workload>;

const service = z.looseObject({
  kind: z.literal("Service"),
  metadata: z.looseObject({ name: z.string(), labels: labels.optional() }),
  spec: z.looseObject({
    selector: labels,
    clusterIP: z.string().optional(),
    publishNotReadyAddresses: z.boolean().default(false),
    ports: z.array(z.looseObject({ name: z.string(), port: z.number(), targetPort: port })),
  }),
});

const peer = z.strictObject({
  podSelector: selector.optional(),
  namespaceSelector: z.looseObject({ matchLabels: labels.optional() }).optional(),
});
const policyPorts = z.array(z.strictObject({ port, protocol: z.string() }));
const networkPolicy = z.looseObject({
  kind: z.literal("NetworkPolicy"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.strictObject({
    podSelector: selector,
    policyTypes: z.array(z.enum(["Ingress", "Egress"])),
    ingress: z.array(z.strictObject({ from: z.array(peer), ports: policyPorts })).default([]),
    egress: z.array(z.strictObject({ to: z.array(peer).optional(), ports: policyPorts })).default([]),
  }),
});

const budget = z.looseObject({
  kind: z.literal("PodDisruptionBudget"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.strictObject({
    selector,
    minAvailable: z.number().optional(),
    maxUnavailable: z.number().optional(),
    unhealthyPodEvictionPolicy: z.enum(["AlwaysAllow", "IfHealthyBudget"]).optional(),
  }),
});

const configMap = z.looseObject({
  kind: z.literal("ConfigMap"),
  metadata: z.looseObject({ name: z.string() }),
  data: labels,
});

const roleBinding = z.looseObject({
  kind: z.literal("RoleBinding"),
  roleRef: z.looseObject({ name: z.string() }),
  subjects: z.array(z.strictObject({ kind: z.string(), name: z.string(), namespace: z.string() })),
});

const named = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.literal(namespace) }),
});
export type Manifest = z.infer<typeof named>;

export interface Manifests {
  readonly all: readonly Manifest[];
  readonly workloads: readonly Workload[];
  readonly services: readonly z.infer<typeof service>[];
  readonly networkPolicies: readonly z.infer<typeof networkPolicy>[];
  readonly budgets: readonly z.infer<typeof budget>[];
  readonly configMaps: readonly z.infer<typeof configMap>[];
  readonly roleBindings: readonly z.infer<typeof roleBinding>[];
}

/** Throws if a manifest has another form than these tests know. */
export function readManifests(text: string): Manifests {
  const all = parseAllDocuments(text).map((document) => named.parse(document.toJS()));
  const of = <Schema extends z.ZodType>(schema: Schema, ...kinds: string[]): z.infer<Schema>[] =>
    all.filter(({ kind }) => kinds.includes(kind)).map((manifest) => schema.parse(manifest));
  return {
    all,
    workloads: of(workload, "StatefulSet", "Deployment", "DaemonSet"),
    services: of(service, "Service"),
    networkPolicies: of(networkPolicy, "NetworkPolicy"),
    budgets: of(budget, "PodDisruptionBudget"),
    configMaps: of(configMap, "ConfigMap"),
    roleBindings: of(roleBinding, "RoleBinding"),
  };
}

export const matches = (wanted: Labels, given: Labels): boolean =>
  Object.entries(wanted).every(([name, value]) => given[name] === value);

export const labelsOf = (of: Workload): Labels => of.spec.template.metadata.labels;

export const containersOf = ({ spec }: Workload): readonly Container[] => [
  ...spec.template.spec.initContainers,
  ...spec.template.spec.containers,
];

/** The containers that run Ostiary. */
export const nodeContainersOf = (of: Workload): readonly Container[] =>
  containersOf(of).filter(({ image }) => image === "ostiary");
