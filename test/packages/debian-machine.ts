/**
 * A Debian system in a container without a network: only a loopback interface. It has systemd as its first process, or
 * none. Its root file system comes from Debian's packages and is kept for later runs.
 */
import * as Bun from "bun";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../e2e/cluster.ts";
import { type Podman } from "../containers/podman.ts";
import { programPath } from "../e2e/program.ts";

const bootWithinMs = 120_000;

/** Returns the name of the image, which belongs to the test of `podman`. */
export async function debianImage(podman: Podman): Promise<string> {
  if (process.getuid?.() !== 0) throw new Error("a Debian system in a container needs root");
  const image = `localhost/${podman.prefix}-debian:latest`;
  await podman.podman("import", await rootArchive(), image);
  return image;
}

async function rootArchive(): Promise<string> {
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  if (suite === undefined) throw new Error("this machine is no Debian: its root file system cannot be made");
  const kept = join(tmpdir(), `ostiary-debian-${suite}.tar`);
  if (existsSync(kept)) return kept;
  const folder = mkdtempSync(join(tmpdir(), "ostiary-debian-"));
  const unfinished = join(folder, "root.tar");
  try {
    const options = ["--variant=essential", "--include=systemd,systemd-sysv,passwd", "--quiet"];
    // A mirror can be older than its own dates allow.
    const dates = ["Acquire::Check-Valid-Until", "Acquire::Check-Date"].map((name) => `--aptopt=${name} "false"`);
    const child = Bun.spawn([programPath("mmdebstrap"), ...options, ...dates, suite, unfinished], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 300_000,
    });
    const [status, errors] = await Promise.all([child.exited, child.stderr.text()]);
    if (status !== 0) throw new Error(`mmdebstrap ended with status ${status}:\n${errors}`);
    renameSync(unfinished, kept);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return kept;
}

export interface MachineOptions {
  readonly image: string;
  readonly name: string;
  readonly withSystemd: boolean;
  /** The folder of this machine that is at `/packages`. */
  readonly packages: string;
  /** Another machine, whose loopback interface this one shares. */
  readonly sharedWith?: DebianMachine;
}

export class DebianMachine {
  readonly #podman: Podman;
  readonly #container: string;

  private constructor(podman: Podman, container: string) {
    this.#podman = podman;
    this.#container = container;
  }

  static async start(podman: Podman, options: MachineOptions): Promise<DebianMachine> {
    const { image, name, withSystemd, packages, sharedWith } = options;
    const machine = new DebianMachine(podman, `${podman.prefix}-${name}`);
    const network = sharedWith === undefined ? "none" : `container:${sharedWith.#container}`;
    // systemd confines a unit only with all privileges.
    const how = ["--privileged", "--network", network, "--volume", `${packages}:/packages:ro`];
    const init = withSystemd ? ["--systemd=always"] : ["--systemd=false"];
    const command = withSystemd ? ["/sbin/init"] : ["/bin/sleep", "infinity"];
    await podman.podman("run", "--detach", "--name", machine.#container, ...how, ...init, image, ...command);
    if (withSystemd) {
      // Without it systemd in a container gives services no credentials. On a machine it does this itself.
      await machine.run("mount --make-rshared /");
      const states = ["running", "degraded"];
      const state = async (): Promise<string> => (await machine.tryRun("systemctl is-system-running")).output.trim();
      await eventually(async () => states.includes(await state()), "systemd has started", bootWithinMs);
    }
    return machine;
  }

  async remove(): Promise<void> {
    await this.#podman.podman("rm", "-f", "-t", "1", "-v", this.#container);
  }

  /** Runs a script in the shell. Returns what it printed; a failure throws with it. */
  async run(script: string): Promise<string> {
    const { status, output } = await this.tryRun(script);
    if (status !== 0) throw new Error(`the script ended with status ${status}:\n${script}\n${output}`);
    return output;
  }

  /** As `run`, for scripts that may fail. */
  async tryRun(script: string): Promise<{ readonly status: number; readonly output: string }> {
    // The status of the script, not of podman.
    const marked = `( ${script}\n) 2>&1 </dev/null; echo "status $?"`;
    const printed = await this.#podman.run(
      ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "exec", this.#container, "/bin/sh", "-c", marked],
      { timeoutMs: 300_000 },
    );
    const [, output = "", status = "1"] = /^([^]*?)status (\d+)$/.exec(printed) ?? [];
    return { status: Number(status), output };
  }
}

/** A script that asks the node of the machine for a decision; it needs a policy at `/packages/policy.polar`. */
export const decision = (program: string, port = 8080): string => `
${access(port)}
${program} authorize User:ann read Doc:a`;

/** The same, after it has stored the policy and the fact that the decision needs. */
export const firstDecision = (program: string, port = 8080): string => `
${access(port)}
set -e
${program} policy /packages/policy.polar
${program} tell has_role User:ann reader Doc:a
${program} authorize User:ann read Doc:a`;

const access = (port: number): string => `
OSO_AUTH=$(sed -n 's/^OSTIARY_ADMIN_KEY=//p' /etc/ostiary/ostiary.env)
OSO_URL=http://127.0.0.1:${port}
export OSO_AUTH OSO_URL`;

export const policy = `actor User {}
resource Doc {
  roles = ["reader"];
  permissions = ["read"];
  "read" if "reader";
}
`;
