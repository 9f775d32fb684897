/**
 * `ostiary health`: whether a node can answer queries, as an exit status, for the health check of the image and for
 * scripts.
 */
import { fetch } from "../runtime/fetch.ts";
import { print } from "../runtime/process.ts";
import { localUrl } from "../runtime/serve.ts";
import { AppError } from "../util/app-error.ts";
import { connectionProblem, reasonOf } from "../util/reason.ts";
import { UsageError, type AddCommand } from "./command.ts";
import { configFile } from "./config-file.ts";
import { checkedConfig } from "./setting-options.ts";

const timeoutMs = 2500;

export const healthCommand: AddCommand = (program, finish) => {
  program
    .command("health")
    .description("Check whether a node can answer queries: status 0 if it can, 1 if not")
    .option("--url <url>", "The URL of the node (default: from OSTIARY_HOST and OSTIARY_PORT, or from the file)")
    .option("--config <file>", "The configuration file of the node [OSTIARY_CONFIG]")
    .action(async (options: { url?: string; config?: string }) => {
      const url = options.url ?? (await ownUrl(options.config));
      if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
      const response = await requestHealth(url.replace(/\/+$/, ""));
      await print(`${(await response.text()).trimEnd()}\n`);
      if (!response.ok) finish(1);
    });
};

async function ownUrl(config: string | undefined): Promise<string> {
  const file = await configFile(config, process.env);
  // The role of the node does not matter here, and can be a flag of `serve`.
  const { host, port } = checkedConfig({ flags: { role: "primary" }, environment: process.env, file });
  return localUrl(host, port);
}

async function requestHealth(url: string): Promise<Response> {
  try {
    return await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    const reason = connectionProblem(error) ?? reasonOf(error);
    throw new AppError(
      "not_ready",
      `no answer from ${url}: ${reason}; check that a node runs there, or name another node with \`--url\``,
    );
  }
}
