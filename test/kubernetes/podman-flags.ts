/**
 * The flags with which Podman runs a container of the manifests as Kubernetes does: the same user, root file system,
 * permissions, limits, variables, arguments and mounts. Files and folders of volumes get the owners and modes that the
 * kubelet gives them.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import { environmentOf, filesOf, type PodOptions } from "./pod.ts";

/** Writes the files of the volumes. Returns what follows `podman run`, with the image and the arguments. */
export function podmanFlags(options: PodOptions, image: string): string[] {
  const { workload, container, name } = options;
  const pod = workload.spec.template.spec;
  const { runAsUser, runAsGroup, fsGroup } = pod.securityContext;
  const { allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } = container.securityContext;
  return [
    ...["--hostname", name],
    // Without these, a platform chooses a user of the group 0.
    ...["--user", `${runAsUser ?? 1_000_680_000}:${runAsGroup ?? 0}`, "--passwd=false"],
    ...["--group-add", String(fsGroup ?? 1_000_680_000)],
    ...(readOnlyRootFilesystem ? ["--read-only", "--read-only-tmpfs=false"] : []),
    ...(allowPrivilegeEscalation ? [] : ["--security-opt", "no-new-privileges"]),
    ...capabilities.drop.flatMap((capability) => ["--cap-drop", capability]),
    ...["--memory", must(container.resources.limits.memory).replace("i", "").toLowerCase()],
    ...Object.entries(environmentOf(options)).flatMap(([variable, value]) => ["--env", `${variable}=${value}`]),
    ...container.volumeMounts.flatMap((mount) => ["--volume", mountOf(mount, options)]),
    ...[image, ...container.args],
  ];
}

function mountOf(
  { name, mountPath, readOnly }: PodOptions["container"]["volumeMounts"][number],
  options: PodOptions,
): string {
  const { template } = options.workload.spec;
  const { secret, emptyDir } = template.spec.volumes.find((volume) => volume.name === name) ?? {};
  const group = template.spec.securityContext.fsGroup ?? 1_000_680_000;
  const place = join(options.folder, "volumes", name);
  mkdirSync(place, { recursive: true });
  for (const [file, content] of filesOf(name, options)) {
    writeFileSync(join(place, file), content);
    chownSync(join(place, file), 0, group);
    chmodSync(join(place, file), secret?.defaultMode ?? 0o644);
  }
  chownSync(place, 0, group);
  // All users may write to an `emptyDir`; the volume of a disk has the usual mode. The group of the pod may write to both.
  chmodSync(place, emptyDir === undefined ? 0o2775 : 0o2777);
  return `${place}:${mountPath}${readOnly === true ? ":ro" : ""}`;
}
