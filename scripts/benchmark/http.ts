/**
 * `POST /api/authorize` over HTTP compared with an echo server: the same requests from the same generator, alternating.
 * Each server is a process on its own core, and the generator on another, if the system can pin processes.
 */
import * as Bun from "bun";
import { cpus } from "node:os";
import { join } from "node:path";
import type { LoadPlan, Round, Sender, Target } from "./load-generator.ts";
import { median } from "./timing.ts";

export interface HttpRates {
  readonly echo: Served;
  readonly authorize: Served;
}

export interface Served {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** The duration that the server reports. */
  readonly serverP99: number | undefined;
}

export interface HttpOptions extends Sender, Omit<LoadPlan, "targets" | "path" | "ownCore"> {
  readonly port: number;
  /** The requests before the measured ones. */
  readonly warmUpRequests: number;
  readonly pid: number | undefined;
}

export const manyConnections = 16;
/** Enough for both sides to compile their hot code, on a core that they share with the compiler. */
export const compiledAfter = 20_000;
const [serverCore, loadCore, everyCore] = ["0", "1", `0-${cpus().length - 1}`];

/** Whether servers and load generator can have a core each. */
export const pinned: boolean = Bun.which("taskset") !== null && cpus().length > 1;

/** Medians over the rounds. Many connections give the throughput, one gives the latency of a request. */
export async function measureHttp({
  port,
  warmUpRequests,
  pid,
  key,
  bodies,
  ...plan
}: HttpOptions): Promise<HttpRates> {
  const echo = Bun.spawn([process.execPath, join(import.meta.dirname, "echo-server.ts")], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const kill = (): void => echo.kill();
  process.once("exit", kill);
  try {
    const reader = echo.stdout.getReader();
    const echoPort = Number(new TextDecoder().decode((await reader.read()).value));
    for (const server of [echo.pid, pid]) pin(server, serverCore);
    const senders = [{ key, bodies }];
    const targets = [
      { name: "echo", port: echoPort, warmUpRequests: compiledAfter, senders },
      { name: "authorize", port, warmUpRequests, senders },
    ];
    const rounds = await generate({ ...plan, targets, path: "/api/authorize", ownCore: true });
    return { echo: served(rounds, "echo"), authorize: served(rounds, "authorize") };
  } finally {
    pin(pid, everyCore);
    kill();
    await echo.exited;
    process.removeListener("exit", kill);
  }
}

interface Server extends Pick<Target, "port" | "senders"> {
  readonly pid: number | undefined;
}

/** Nodes beside each other, by name. Threads that write a log and the generator share the cores, as on a small machine. */
export async function measureNodes<Name extends string>(
  plan: Omit<LoadPlan, "targets" | "path" | "ownCore">,
  servers: Readonly<Record<Name, Server>>,
): Promise<Record<Name, Served>> {
  const named = Object.entries<Server>(servers);
  const targets = named.map(([name, { port, senders }]) => ({ name, port, senders, warmUpRequests: compiledAfter }));
  const rounds = await generate({ ...plan, targets, path: "/api/authorize", ownCore: false });
  return Object.fromEntries(named.map(([name]) => [name, served(rounds, name)])) as Record<Name, Served>;
}

/** All threads of a server. */
function pin(pid: number | undefined, cores: string): void {
  if (!pinned || pid === undefined) return;
  const { success, stderr } = Bun.spawnSync(["taskset", "-a", "-c", "-p", cores, String(pid)]);
  if (!success) throw new Error(`taskset failed: ${stderr.toString()}`);
}

/** Sends what the plan says. Each target has its rounds in the result, in order. */
export async function generate(plan: LoadPlan): Promise<readonly Round[]> {
  const command = [process.execPath, join(import.meta.dirname, "load-generator.ts")];
  const generator = Bun.spawn(pinned && plan.ownCore ? ["taskset", "-c", loadCore, ...command] : command, {
    stdin: new Blob([JSON.stringify(plan)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const [status, output] = await Promise.all([generator.exited, generator.stdout.text()]);
  if (status !== 0) throw new Error(`the load generator ended with status ${status}`);
  return JSON.parse(output) as Round[];
}

function served(rounds: readonly Round[], target: string): Served {
  const own = rounds.filter((round) => round.target === target);
  return {
    perSecond: median(own.map(({ perSecond }) => perSecond)),
    p50: median(own.map(({ latency }) => latency.p50)),
    p99: median(own.map(({ latency }) => latency.p99)),
    serverP99: own.every(({ server }) => server) ? median(own.map(({ server }) => server?.p99 ?? 0)) : undefined,
  };
}
