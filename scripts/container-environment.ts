/**
 * The environment of buildah and podman: runc as runtime and cgroups by files, because the defaults (crun, systemd) do
 * not exist inside a container or on a CI machine. Both read a `containers.conf` that is written to the given folder,
 * so that nothing in /etc changes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export function containerEnvironment(folder: string): Record<string, string> {
  const path = join(folder, "containers.conf");
  writeFileSync(path, `[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n`);
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { ...Object.fromEntries(inherited), CONTAINERS_CONF: path, PODMAN_IGNORE_CGROUPSV1_WARNING: "1" };
}
