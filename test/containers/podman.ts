/**
 * Podman and buildah for tests: every call has a time limit, and everything with one prefix can be removed together.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { containerEnvironment } from "../../scripts/container-environment.ts";
import { requirePrograms } from "../e2e/program.ts";
import { runCommand } from "./run-command.ts";
import { randomHex } from "../../scripts/node-process.ts";

export class Podman {
  /** The prefix of all names of this test. */
  readonly prefix = `ostiary-test-${randomHex(4)}`;
  readonly #folder = mkdtempSync(join(tmpdir(), "ostiary-podman-"));
  readonly #environment = containerEnvironment(this.#folder);

  constructor() {
    requirePrograms("podman", "buildah", "runc", "nft", "podman-compose", "mosquitto", "mosquitto_pub");
  }

  get folder(): string {
    return this.#folder;
  }

  /** Returns the standard output; a failure throws with the whole output. */
  podman(...parameters: string[]): Promise<string> {
    return this.run(["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", ...parameters]);
  }

  /** As `podman`, for any program. */
  run(
    command: readonly string[],
    { timeoutMs, environment = {}, cwd = this.#folder }: RunOptions = {},
  ): Promise<string> {
    return runCommand(command, { cwd, environment: { ...this.#environment, ...environment }, timeoutMs });
  }

  /** Containers, volumes, networks and images of this test. */
  async removeAll(): Promise<void> {
    const remove = async (list: string[], how: string[]): Promise<void> => {
      const names = (await this.podman(...list)).split("\n").filter((name) => name.includes(this.prefix));
      if (names.length > 0) await this.podman(...how, ...names);
    };
    await remove(["ps", "-a", "--format", "{{.Names}}"], ["rm", "-f", "-t", "1", "-v"]);
    await remove(["pod", "ls", "--format", "{{.Name}}"], ["pod", "rm", "-f"]);
    await remove(["volume", "ls", "--format", "{{.Name}}"], ["volume", "rm", "-f"]);
    await remove(["network", "ls", "--format", "{{.Name}}"], ["network", "rm", "-f"]);
    await remove(["images", "--format", "{{.Repository}}:{{.Tag}}"], ["rmi", "-f"]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface RunOptions {
  readonly timeoutMs?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}
