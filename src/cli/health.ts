/**
 * `ostiary health`: whether a node can answer queries, as an exit status, for the health check of the image and for
 * scripts.
 */
import { fetch } from "../runtime/fetch.ts";
import { print } from "../runtime/process.ts";
import { localUrl } from "../runtime/serve.ts";
import { AppError } from "../util/app-error.ts";
import type { AddCommand } from "./command.ts";
import { checkedUrl, noAnswerFrom } from "./node-api.ts";
import { nodeConfig } from "./setting-options.ts";

const timeoutMs = 2500;

export const healthCommand: AddCommand = (program, finish) => {
  program
    .command("health")
    .description("Check whether a node can answer queries: status 0 if it can, 1 if not")
    .option("--url <url>", "The URL of the node (default: from OSTIARY_HOST and OSTIARY_PORT, or from the file)")
    .option("--config <file>", "The configuration file of the node [OSTIARY_CONFIG]")
    .option("--json", "Print one line of JSON: as without this option, or that there is no answer")
    .action(async (options: { url?: string; config?: string; json?: true }) => {
      const url = options.url ?? (await ownUrl(options.config));
      const response = await requestHealth(checkedUrl(url)).catch(async (error: unknown) => {
        if (options.json) await print(`${JSON.stringify({ status: "no answer" })}\n`);
        throw error;
      });
      await print(`${(await response.text()).trimEnd()}\n`);
      if (!response.ok) finish(1);
    });
};

async function ownUrl(config: string | undefined): Promise<string> {
  const { host, port } = await nodeConfig({ config });
  return localUrl(host, port);
}

async function requestHealth(url: string): Promise<Response> {
  try {
    return await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw new AppError("not_ready", noAnswerFrom(url, error, "`--url`"));
  }
}
