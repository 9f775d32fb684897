/** `ostiary dev`: runs a node for development. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { developmentEnvironment, developmentKey } from "../config/config.ts";
import { print } from "../runtime/process.ts";
import { startDev } from "../roles/dev.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { checkFiles, printProblems, printReport } from "./policy-files.ts";
import { runNode } from "./serve.ts";
import { type EffectiveConfig, effectiveConfig } from "./setting-options.ts";

interface DevOptions {
  readonly port?: string;
  readonly data?: string;
}

export const devCommand: AddCommand = (program, finish) => {
  program
    .command("dev")
    .description("Run one node for development: no configuration, the public test key, temporary data")
    .argument("[files...]", "Policy files to load; several form one policy")
    .option("--port <number>", "The port to listen on (default: 8080) [OSO_PORT]")
    .option("--data <directory>", "Keep the data in this directory; by default the data are deleted at the end")
    .action(async (files: string[], options: DevOptions) => {
      const policy = await checkFiles(files, { runTests: true });
      await (policy.good ? printProblems(policy) : printReport(policy));
      if (!policy.good) return finish(1);
      const data = options.data ?? (await mkdtemp(join(tmpdir(), "ostiary-dev-")));
      try {
        const { config, warnings } = devConfig(options, data);
        await runNode(
          config,
          warnings,
          () => startDev(config, policy.sources),
          ({ url }) => print(welcome(url, options.data)),
        );
      } finally {
        if (options.data === undefined) await rm(data, { recursive: true, force: true });
      }
    });
};

/** The test key is added after the checks, which refuse it because it is public. */
function devConfig(options: DevOptions, data: string): EffectiveConfig {
  const port = options.port ?? officialPort();
  const flags = {
    role: "primary",
    environment: developmentEnvironment,
    data,
    mqttPort: "0",
    ...(port ? { port } : {}),
  };
  const { OSTIARY_ADMIN_KEY: _ignored, ...environment } = process.env;
  const { config, warnings } = effectiveConfig({ flags, environment });
  return { config: { ...config, adminKey: developmentKey }, warnings };
}

/** The port from the variable of the official development server. */
function officialPort(): string | undefined {
  const port = process.env["OSO_PORT"];
  if (port === undefined || port === "") return undefined;
  if (/^\d{1,5}$/.test(port) && Number(port) <= 65_535) return port;
  throw new UsageError(`port is \`${port}\` from OSO_PORT; allowed: a whole number from 0 to 65535`);
}

function welcome(url: string, data: string | undefined): string {
  return [
    `Ostiary for development is ready at ${url}`,
    `  OSO_URL=${url}`,
    `  OSO_AUTH=${developmentKey}`,
    data === undefined ? "  the data are deleted at the end (keep them with --data)" : `  the data are in ${data}`,
    "",
  ].join("\n");
}
