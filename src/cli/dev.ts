/** `ostiary dev`: runs a node for development. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { developmentEnvironment, developmentKey } from "../config/config.ts";
import { print, printError } from "../runtime/process.ts";
import { type DevNode, startDev } from "../dev/dev.ts";
import { loginCodeSeconds } from "../dev/login-code.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { printFailure } from "./color.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { checkFiles, printProblems, printReport, readWatched } from "./policy-files.ts";
import { runNode } from "./serve.ts";
import { type EffectiveConfig, effectiveConfig } from "./setting-options.ts";
import { watchFiles } from "./watch-files.ts";

/** Limits that Oso Cloud has but its development server has not, so that scripts with large requests work. */
const developmentLimits = {
  batchEntriesMax: 100_000,
  contextFactsMax: 10_000,
  wildcardDeleteFactsMax: 100_000,
  writeBodyBytesMax: "64MiB",
  readBodyBytesMax: "64MiB",
};

const details = `
The API key of this node is public. Its data are temporary, unless --data or OSO_DIRECTORY names a directory. Limits of
requests are higher than those of other nodes, unless a variable sets them:
${Object.entries(developmentLimits)
  .map(([name, value]) => `  ${name.padEnd(24)}${value.toLocaleString("en")}`)
  .join("\n")}

Examples:
  ostiary dev policy.polar
  ostiary dev --watch-for-changes blocks.polar rules.polar    load the policy again when a file changes
  OSO_PORT=8081 OSO_DIRECTORY=.oso ostiary dev                another port, and data that are kept`;

interface DevOptions {
  readonly port?: string;
  readonly data?: string;
  readonly watchForChanges?: true;
  readonly json?: true;
}

export const devCommand: AddCommand = (program, finish) => {
  program
    .command("dev")
    .description("Run one node for development: no configuration, the public test key, temporary data")
    .argument("[files...]", "Policy files to load; several form one policy")
    .option("--port <number>", "The port to listen on (default: 8080) [OSO_PORT]")
    .option(
      "--data <directory>",
      "Keep the data in this directory; by default the data are deleted at the end [OSO_DIRECTORY]",
    )
    .option("--watch-for-changes", "Load the policy again when a file changes; a policy with errors is not loaded")
    .option("--json", "Print the addresses, the key and the data directory as JSON when the node is ready")
    .addHelpText("after", details)
    .action(async (files: string[], options: DevOptions) => {
      if (options.watchForChanges && files.length === 0)
        throw new UsageError("`--watch-for-changes` needs the policy files to watch: name them");
      const watch = await watchFiles(files);
      const policy = await checkFiles(files, { runTests: true }, options.watchForChanges && readWatched);
      await (policy.good ? printProblems(policy) : printReport(policy));
      if (!policy.good) return finish(1);
      const kept = options.data ?? (process.env["OSO_DIRECTORY"] || undefined);
      const data = kept ?? (await mkdtemp(join(tmpdir(), "ostiary-dev-")));
      const stopped = Promise.withResolvers<void>();
      let watching: Promise<void> | undefined;
      try {
        const { config, warnings } = devConfig(options, data);
        await runNode(
          config,
          warnings,
          () => startDev(config, policy.sources),
          async (node) => {
            const login = config.console ? `${node.url}/console/#/login/${node.createLoginCode()}` : undefined;
            const ready = { url: node.url, key: developmentKey, data: kept ?? null, ...(login && { console: login }) };
            await print(options.json ? `${JSON.stringify(ready)}\n` : welcome(node.url, kept, login));
            if (options.watchForChanges) watching = watch(() => reload(node, files), stopped.promise);
          },
        );
      } finally {
        stopped.resolve();
        await watching;
        if (kept === undefined) await rm(data, { recursive: true, force: true });
      }
    });
};

/** Loads the changed files, or reports why the old policy stays. Never rejects. */
async function reload(node: DevNode, files: readonly string[]): Promise<void> {
  const names = files.map(printable).join(", ");
  const policy = await checkFiles(files, { runTests: true }, readWatched);
  try {
    await (policy.good ? printProblems(policy) : printReport(policy));
    if (policy.good) await node.load(policy.sources);
    await printError(policy.good ? `${names}: loaded again\n` : `${names}: not loaded, the node keeps its policy\n`);
  } catch (error) {
    await printFailure(`${names}: not loaded, the node keeps its policy: ${printable(reasonOf(error))}`);
  }
}

/** The test key is added after the checks, which refuse it because it is public. */
export function devConfig(
  options: Pick<DevOptions, "port">,
  data: string,
  variables: Readonly<Record<string, string | undefined>> = process.env,
): EffectiveConfig {
  const port = options.port ?? officialPort(variables);
  const flags = {
    role: "primary",
    environment: developmentEnvironment,
    data,
    mqttPort: "0",
    ...(port ? { port } : {}),
  };
  const { OSTIARY_ADMIN_KEY: _ignored, ...environment } = variables;
  const file = { name: "of `ostiary dev`", content: { advanced: developmentLimits } };
  const { config, ...rest } = effectiveConfig({ flags, environment, file });
  return { config: { ...config, adminKey: developmentKey }, ...rest };
}

/** The port from the variable of the official development server. */
function officialPort({ OSO_PORT: port }: Readonly<Record<string, string | undefined>>): string | undefined {
  if (port === undefined || port === "") return undefined;
  if (/^\d{1,5}$/.test(port) && Number(port) <= 65_535) return port;
  throw new UsageError(`port is \`${port}\` from OSO_PORT; allowed: a whole number from 0 to 65535`);
}

function welcome(url: string, data: string | undefined, login: string | undefined): string {
  return [
    `Ostiary for development is ready at ${url}`,
    `  OSO_URL=${url}`,
    `  OSO_AUTH=${developmentKey}`,
    data === undefined
      ? "  the data are deleted at the end (keep them with --data or OSO_DIRECTORY)"
      : `  the data are in ${data}`,
    ...(login === undefined ? [] : [`  console, logged in if you open it within ${loginCodeSeconds} s: ${login}`]),
    "",
  ].join("\n");
}
