/** `POST /api/authorize` over HTTP beside a bare echo: the same requests from the same generator, in turns, each server in a process of its own. */
import { join } from "node:path";
import type { LoadPlan, Round } from "./load-generator.ts";
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
}

export interface HttpOptions extends Pick<LoadPlan, "bodies" | "key" | "rounds" | "secondsPerRound"> {
  readonly port: number;
}

/** Medians over the rounds. Many connections show what a server can do at most, one shows how long a single request takes. */
export async function measureHttp(
  options: HttpOptions,
): Promise<{ readonly many: HttpRates; readonly one: HttpRates }> {
  const echo = Bun.spawn([process.execPath, join(import.meta.dir, "echo-server.ts")], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const kill = (): void => echo.kill();
  process.once("exit", kill);
  try {
    const reader = echo.stdout.getReader();
    const echoPort = Number(new TextDecoder().decode((await reader.read()).value));
    const { port, ...plan } = options;
    const targets = [
      { name: "echo", port: echoPort },
      { name: "authorize", port },
    ];
    const measure = (connections: number): Promise<HttpRates> =>
      generate({ ...plan, targets, path: "/api/authorize", connections });
    return { many: await measure(manyConnections), one: await measure(1) };
  } finally {
    kill();
    await echo.exited;
    process.removeListener("exit", kill);
  }
}

export const manyConnections = 16;

async function generate(plan: LoadPlan): Promise<HttpRates> {
  const generator = Bun.spawn([process.execPath, join(import.meta.dir, "load-generator.ts")], {
    stdin: new Blob([JSON.stringify(plan)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const [status, output] = await Promise.all([generator.exited, generator.stdout.text()]);
  if (status !== 0) throw new Error(`the load generator ended with status ${status}`);
  const rounds = JSON.parse(output) as Round[];
  return { echo: served(rounds, "echo"), authorize: served(rounds, "authorize") };
}

function served(rounds: readonly Round[], target: string): Served {
  const own = rounds.filter((round) => round.target === target);
  return {
    perSecond: median(own.map(({ perSecond }) => perSecond)),
    p50: median(own.map(({ latency }) => latency.p50)),
    p99: median(own.map(({ latency }) => latency.p99)),
  };
}
