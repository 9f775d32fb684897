/**
 * A Docker Engine of its own for tests, with its own socket and data, and images made of the programs of this machine. It
 * runs in a PID and a mount namespace: when its first process ends, the kernel ends all containers and removes all mounts.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { type RootContents, writeRootArchive } from "../../scripts/root-archive.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { programPath, requirePrograms } from "../e2e/program.ts";
import { runCommand } from "./run-command.ts";

interface RunOptions {
  readonly timeoutMs?: number;
  /** Besides `PATH`, `HOME` and `DOCKER_HOST`; no other variable of this process is passed on. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** As the API of the engine names them. */
const containersSchema = z.array(
  z.object({
    Id: z.string(),
    /** Each with a slash before it. */
    Names: z.array(z.string()),
    State: z.enum(["created", "running", "paused", "restarting", "removing", "exited", "dead"]),
    /** A text such as `Up 5 seconds (healthy)`. */
    Status: z.string(),
  }),
);

type Container = z.infer<typeof containersSchema>[number];

export class Docker {
  /** It is removed with the engine. */
  readonly folder = mkdtempSync(join(tmpdir(), "ostiary-docker-"));
  readonly #host = `unix://${this.#at("socket")}`;
  readonly #log = this.#at("dockerd.log");
  readonly #daemon: Bun.Subprocess;

  private constructor() {
    const directories = [
      ...["--data-root", this.#at("data")],
      ...["--exec-root", this.#at("exec")],
      ...["--pidfile", this.#at("pid")],
    ];
    // Its rules for the firewall would drop the packets of other containers of this machine. Without them, published
    // ports and networks of containers work as well.
    const isolated = ["--iptables=false", "--ip6tables=false", "--bridge=none"];
    // Without an answer, a look for the name of a stopped container takes seconds; here the answer is a refusal.
    const names = ["--dns", "127.0.0.1"];
    const namespaces = [programPath("unshare"), "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
    const dockerd = [programPath("dockerd"), "--host", this.#host, ...directories, ...isolated, ...names];
    this.#daemon = Bun.spawn([...namespaces, ...dockerd], {
      stdin: "ignore",
      stdout: Bun.file(this.#log),
      stderr: Bun.file(this.#log),
    });
  }

  /** Starts the engine, as root. */
  static async start(): Promise<Docker> {
    requirePrograms("dockerd", "docker", "docker-compose", "unshare");
    const docker = new Docker();
    try {
      const answers = () => docker.containers().then(() => true);
      await eventually(async () => docker.#hasEnded || (await answers()), "the engine answers", 30_000);
      if (docker.#hasEnded) throw new Error("the engine has ended");
      return docker;
    } catch (error) {
      const log = await Bun.file(docker.#log).text();
      await docker.stop();
      throw new Error(`Docker did not start:\n${log}`, { cause: error });
    }
  }

  get #hasEnded(): boolean {
    return this.#daemon.exitCode !== null || this.#daemon.signalCode !== null;
  }

  #at(name: string): string {
    return join(this.folder, name);
  }

  /** Returns the standard output; a failure throws with the whole output. */
  run(command: readonly string[], { timeoutMs, environment = {} }: RunOptions = {}): Promise<string> {
    const own = { PATH: must(process.env["PATH"]), HOME: this.folder, DOCKER_HOST: this.#host };
    return runCommand(command, { cwd: this.folder, environment: { ...own, ...environment }, timeoutMs });
  }

  docker(...parameters: string[]): Promise<string> {
    return this.run(["docker", ...parameters]);
  }

  /** All containers, from the API of the engine: `docker ps` would be a process for each look. */
  async containers(): Promise<readonly Container[]> {
    const response = await fetch("http://docker/containers/json?all=true", { unix: this.#at("socket") });
    if (!response.ok) throw new Error(`Docker answered ${response.status}: ${await response.text()}`);
    return containersSchema.parse(await response.json());
  }

  /** Makes an image of programs of this machine. */
  async importImage(name: string, root: RootContents, command: readonly string[] = []): Promise<void> {
    const archive = this.#at(`${name}.tar`);
    await writeRootArchive(archive, root);
    const change = command.length > 0 ? ["--change", `CMD ${JSON.stringify(command)}`] : [];
    await this.docker("import", ...change, archive, name);
    rmSync(archive);
  }

  /** Removes all containers, also those that run, with their networks and volumes. */
  async removeContainers(): Promise<void> {
    const ids = (await this.containers()).map(({ Id }) => Id);
    if (ids.length > 0) await this.docker("rm", "--force", ...ids);
    // The bridges of networks are outside of the namespaces.
    await this.docker("network", "prune", "--force");
    await this.docker("volume", "prune", "--all", "--force");
  }

  /** Ends the engine with all containers, and removes its networks and its data, also after a failure. */
  async stop(): Promise<void> {
    try {
      if (!this.#hasEnded) await this.removeContainers();
    } finally {
      this.#kill();
      await this.#daemon.exited;
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** Ends the first process in the PID namespace. `unshare` ends after all of them. */
  #kill(): void {
    if (this.#hasEnded) return;
    const { pid } = this.#daemon;
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" "))
      if (child !== "") process.kill(Number(child), "SIGKILL");
  }
}
