/** A Docker Engine of its own for tests, with its own socket and data, and images made of the programs of this machine. */
import * as Bun from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RootContents, writeRootArchive } from "../../scripts/root-archive.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "./cluster.ts";
import { programPath, requirePrograms } from "./program.ts";

interface RunOptions {
  readonly timeoutMs?: number;
  /** Instead of the variables of this process, besides `PATH` and `HOME`. */
  readonly environment?: Readonly<Record<string, string>>;
}

export class Docker {
  readonly folder = mkdtempSync(join(tmpdir(), "ostiary-docker-"));
  readonly #daemon: Bun.Subprocess;
  readonly #log = join(this.folder, "dockerd.log");

  private constructor() {
    requirePrograms("dockerd", "docker", "docker-compose");
    const at = (name: string): string => join(this.folder, name);
    const directories = ["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid")];
    // Its rules for the firewall would drop the packets of other containers of this machine. Without them, published
    // ports and networks of containers work as well.
    const isolated = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "vfs"];
    this.#daemon = Bun.spawn([programPath("dockerd"), ...directories, "--host", this.#host, ...isolated], {
      stdin: "ignore",
      stdout: Bun.file(this.#log),
      stderr: Bun.file(this.#log),
    });
  }

  /** Starts the engine, as root. */
  static async start(): Promise<Docker> {
    const docker = new Docker();
    const isUp = async (): Promise<boolean> => {
      if (docker.#daemon.exitCode !== null) throw new Error(await Bun.file(docker.#log).text());
      return docker.run(["docker", "version"]).then(
        () => true,
        () => false,
      );
    };
    await eventually(isUp, "the engine answers", 30_000);
    return docker;
  }

  get #host(): string {
    return `unix://${join(this.folder, "socket")}`;
  }

  /** Returns the output; a failure throws with the whole output. */
  async run(command: readonly string[], { timeoutMs = 60_000, environment = {} }: RunOptions = {}): Promise<string> {
    const [name = "", ...parameters] = command;
    const started = Bun.spawn([programPath(name), ...parameters], {
      cwd: this.folder,
      env: { PATH: must(process.env.PATH), HOME: this.folder, DOCKER_HOST: this.#host, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const [status, output, errors] = await Promise.all([started.exited, started.stdout.text(), started.stderr.text()]);
    if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}:\n${output}${errors}`);
    return output.trim();
  }

  docker(...parameters: string[]): Promise<string> {
    return this.run(["docker", ...parameters]);
  }

  /** Makes an image of programs of this machine. */
  async importImage(name: string, root: RootContents, command: readonly string[] = []): Promise<void> {
    const archive = join(this.folder, `${name}.tar`);
    await writeRootArchive(archive, root);
    const change = command.length > 0 ? ["--change", `CMD ${JSON.stringify(command)}`] : [];
    await this.docker("import", ...change, archive, name);
    rmSync(archive);
  }

  /** Ends all containers and the engine, and removes its data. */
  async stop(): Promise<void> {
    const containers = (await this.docker("ps", "--all", "--quiet")).split("\n").filter((id) => id !== "");
    if (containers.length > 0) await this.docker("rm", "--force", "--volumes", ...containers);
    await this.docker("network", "prune", "--force");
    this.#daemon.kill("SIGTERM");
    await this.#daemon.exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
