/**
 * Runs a container of the manifests as a process of this machine: with its arguments, its environment and its files.
 * Paths of volumes lie below a folder, and URLs of pods and Services become addresses of this machine.
 */
import * as Bun from "bun";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { must } from "../../src/util/assert.ts";
import { type Container, type Manifests, namespace, type Workload } from "./manifests.ts";

export interface PodOptions {
  readonly manifests: Manifests;
  readonly workload: Workload;
  readonly container: Container;
  /** Of the pod. */
  readonly name: string;
  /** An empty folder for its volumes. */
  readonly folder: string;
  /** The keys of each Secret. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** URLs in settings, and what to use instead. */
  readonly urls?: Readonly<Record<string, string>>;
}

export interface ProcessOfContainer {
  readonly parameters: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Writes the files of the volumes, and returns what to start. Throws if something that it refers to does not exist. */
export function prepareContainer(options: PodOptions): ProcessOfContainer {
  const { container, folder, urls = {} } = options;
  const moved = (text: string): string =>
    container.volumeMounts
      .map(({ mountPath }) => mountPath)
      .toSorted((a, b) => b.length - a.length)
      .reduce(
        (changed, path) => changed.replace(new RegExp(`(?<![\\w/.])${path}(?![\\w-])`, "g"), join(folder, path)),
        text,
      );
  const located = (text: string): string =>
    moved(Object.entries(urls).reduce((changed, [url, address]) => changed.replaceAll(url, address), text));
  for (const { name, mountPath } of container.volumeMounts)
    for (const [file, content] of filesOf(name, options)) write(join(folder, mountPath, file), located(content));
  const variables = { ...imageVariables(), ...environmentOf(options) };
  const environment = Object.fromEntries(Object.entries(variables).map(([name, text]) => [name, located(text)]));
  return { parameters: container.args.map(located), environment };
}

/** The variables that the manifest sets. */
export function environmentOf(options: PodOptions): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const { name, value, valueFrom } of options.container.env) {
    const text = value ?? valueOf(must(valueFrom), options);
    // Kubernetes only knows the variables before this one.
    environment[name] = text.replaceAll(/\$\((\w+)\)/g, (whole, other: string) => environment[other] ?? whole);
  }
  return environment;
}

/** Starts Ostiary in its folder. */
export function startContainer(binary: string, { parameters, environment }: ProcessOfContainer) {
  return Bun.spawn([binary, ...parameters], {
    env: { ...environment },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
}

/** The files of a volume, by their names; creates the folder of an empty one. */
export function filesOf(volumeName: string, { manifests, workload, folder, container, secrets }: PodOptions) {
  const { template, volumeClaimTemplates } = workload.spec;
  const volume = template.spec.volumes.find(({ name }) => name === volumeName);
  if (volume?.configMap !== undefined) {
    const { name } = volume.configMap;
    return Object.entries(must(manifests.configMaps.find(({ metadata }) => metadata.name === name)).data);
  }
  if (volume?.secret !== undefined) {
    const { secretName, items } = volume.secret;
    return items.map(
      ({ key, path }) => [path, must(secrets[secretName]?.[key], `${secretName} has no ${key}`)] as const,
    );
  }
  must(volume ?? volumeClaimTemplates.find(({ metadata }) => metadata.name === volumeName), `no volume ${volumeName}`);
  const mount = must(container.volumeMounts.find(({ name }) => name === volumeName));
  mkdirSync(join(folder, mount.mountPath), { recursive: true });
  return [];
}

function valueOf(
  { fieldRef, secretKeyRef }: NonNullable<Container["env"][number]["valueFrom"]>,
  { name, secrets }: PodOptions,
): string {
  if (secretKeyRef !== undefined) return must(secrets[secretKeyRef.name]?.[secretKeyRef.key]);
  const fields: Readonly<Record<string, string>> = { "metadata.name": name, "metadata.namespace": namespace };
  return must(fields[must(fieldRef).fieldPath]);
}

/** The variables that the image sets. */
function imageVariables(): Readonly<Record<string, string>> {
  const recipe = readFileSync(join(projectRoot, "appliance", "Containerfile"), "utf8");
  const found = [...recipe.matchAll(/\b(OSTIARY_[A-Z]+|SQLITE_TMPDIR)=(\S+)/g)];
  return Object.fromEntries(found.map(([, name = "", value = ""]) => [name, value]));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
}
