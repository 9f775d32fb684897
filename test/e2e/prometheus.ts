/** A real Prometheus on loopback with the shipped configuration and rules, which scrapes nodes of a test each second. */
import * as Bun from "bun";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { freePort } from "../../scripts/node-process.ts";
import { observability, rulesText } from "../telemetry/observability.ts";
import { eventually } from "./cluster.ts";
import { programPath } from "./program.ts";
import { ServerProgram } from "./server-program.ts";

export interface Target {
  readonly url: string;
  /** Default `main`. */
  readonly cluster?: string;
}

export interface FiringAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Configuration {
  global: { scrape_interval: string; evaluation_interval: string; external_labels: Record<string, string> };
  scrape_configs: [{ authorization: { credentials_file: string }; static_configs: unknown[] }];
}

/** Long enough that a busy machine misses no increase, and short enough that alerts end during a test. */
const rangeSeconds = 15;
const secondsOf = { s: 1, m: 60, h: 3600 } as const;

/** The shipped rules, but no alert waits, and ranges are short. Limits of counts are smaller in proportion to the range. */
function quickRules(): string {
  return rulesText
    .replaceAll(/^( +for:) \w+$/gm, "$1 0s")
    .replaceAll(
      /\[(\d+)([smh])\](?:(\) > )(\d+))?/g,
      (_, count: string, unit: "s" | "m" | "h", compare = "", limit = "") => {
        const share = rangeSeconds / (Number(count) * secondsOf[unit]);
        return `[${rangeSeconds}s]${compare}${limit === "" ? "" : Number(limit) * share}`;
      },
    );
}

export class Prometheus {
  readonly #server: ServerProgram;
  readonly #url: string;

  private constructor(server: ServerProgram, url: string) {
    this.#server = server;
    this.#url = url;
  }

  /** `key` is an API key that all targets accept, and `console` the address to which the alerts link. */
  static async start(
    directory: string,
    options: { readonly key: string; readonly console: string; readonly targets: readonly Target[] },
  ): Promise<Prometheus> {
    mkdirSync(directory, { recursive: true });
    const keyFile = join(directory, "key");
    writeFileSync(keyFile, options.key, { mode: 0o600 });
    writeFileSync(join(directory, "ostiary.rules.yaml"), quickRules());
    const shipped = parse(readFileSync(join(observability, "prometheus.yaml"), "utf8")) as Configuration;
    Object.assign(shipped.global, { scrape_interval: "1s", evaluation_interval: "1s" });
    shipped.global.external_labels = { console: options.console };
    const [scrape] = shipped.scrape_configs;
    scrape.authorization.credentials_file = keyFile;
    scrape.static_configs = options.targets.map(({ url, cluster = "main" }) => ({
      targets: [new URL(url).host],
      labels: { cluster },
    }));
    const config = join(directory, "prometheus.yaml");
    writeFileSync(config, stringify(shipped));
    const port = await freePort();
    const server = new ServerProgram(
      [
        programPath("prometheus"),
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(directory, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
        "--log.level=warn",
      ],
      { host: "127.0.0.1", port },
    );
    await server.start();
    return new Prometheus(server, `http://127.0.0.1:${port}`);
  }

  get output(): string {
    return this.#server.output;
  }

  /** The present result of an expression. */
  async query(expr: string): Promise<Sample[]> {
    const { result } = (await this.#get(`query?${new URLSearchParams({ query: expr })}`)) as {
      readonly result: readonly {
        readonly metric: Record<string, string>;
        readonly value: readonly [number, string];
      }[];
    };
    return result.map(({ metric, value: [, text] }) => ({ labels: metric, value: Number(text) }));
  }

  async firing(): Promise<readonly FiringAlert[]> {
    const { alerts } = (await this.#get("alerts")) as { readonly alerts: readonly FiringAlert[] };
    return alerts;
  }

  /** Waits until an alert fires, at this node if one is given, and returns it. */
  async fires(alert: string, { url }: { readonly url?: string } = {}): Promise<FiringAlert> {
    let found: FiringAlert | undefined;
    await eventually(
      async () => (found = await this.#find(alert, url)) !== undefined,
      `${alert} fires${url === undefined ? "" : ` at ${url}`}`,
      alertTimeoutMs,
    );
    if (found === undefined) throw new Error(`${alert} does not fire`);
    return found;
  }

  /** Waits until an alert of a node does not fire any more. */
  async ends(alert: string, { url }: { readonly url: string }): Promise<void> {
    await eventually(
      async () => (await this.#find(alert, url)) === undefined,
      `${alert} ends at ${url}`,
      alertTimeoutMs,
    );
  }

  async #find(alert: string, url: string | undefined): Promise<FiringAlert | undefined> {
    const instance = url === undefined ? undefined : new URL(url).host;
    return (await this.firing()).find(
      ({ labels }) => labels["alertname"] === alert && (instance === undefined || labels["instance"] === instance),
    );
  }

  /** The errors of the last evaluation of all rules. */
  async ruleErrors(): Promise<string[]> {
    const { groups } = (await this.#get("rules")) as {
      readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly lastError?: string }[] }[];
    };
    return groups.flatMap(({ rules }) =>
      rules.flatMap(({ name, lastError = "" }) => (lastError === "" ? [] : [`${name}: ${lastError}`])),
    );
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`${this.#url}/api/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    const answer = (await response.json()) as { readonly data: unknown; readonly error?: string };
    if (!response.ok) throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  }
}

/** From the failure of a node to the alert, on a busy machine. */
const alertTimeoutMs = 45_000;

/** Runs `promtool`. */
export function promtool(
  words: readonly string[],
  input?: string,
): { readonly status: number; readonly output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([programPath("promtool"), ...words], {
    stdin: input === undefined ? "ignore" : Buffer.from(input),
    timeout: 200_000,
  });
  return { status: exitCode, output: `${stdout.toString()}${stderr.toString()}` };
}
