/** Whether a node can answer questions, as an exit status: what the image's health check and start scripts ask, with no other tool at hand. */
import { print } from "../runtime/process.ts";
import { localUrl } from "../runtime/serve.ts";
import { AppError } from "../util/app-error.ts";
import { connectionProblem } from "../util/connection-problem.ts";
import { reasonOf } from "../util/reason.ts";
import { UsageError, type AddCommand } from "./command.ts";
import { configFile } from "./config-file.ts";
import { checkedConfig } from "./setting-options.ts";

const timeoutMs = 2500;

export const healthCommand: AddCommand = (program, finish) => {
  program
    .command("health")
    .description("Ask a node whether it can answer: status 0 if so, 1 if not")
    .option(
      "--url <url>",
      "The node to ask (default: the one that OSTIARY_HOST and OSTIARY_PORT, or the file, describe)",
    )
    .option("--config <file>", "The file that the node was started with [OSTIARY_CONFIG]")
    .action(async (options: { url?: string; config?: string }) => {
      const url = options.url ?? (await ownUrl(options.config));
      if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
      const response = await ask(url.replace(/\/+$/, ""));
      await print(`${(await response.text()).trimEnd()}\n`);
      if (!response.ok) finish(1);
    });
};

async function ownUrl(config: string | undefined): Promise<string> {
  const file = await configFile(config, process.env);
  // Which role it has does not matter here, and may have been given to `serve` as a flag.
  const { host, port } = checkedConfig({ flags: { role: "primary" }, environment: process.env, file });
  return localUrl(host, port);
}

async function ask(url: string): Promise<Response> {
  try {
    return await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    const reason = connectionProblem(error) ?? reasonOf(error);
    throw new AppError(
      "not_ready",
      `no answer from ${url}: ${reason}; check that a node runs there, or name another with \`--url\``,
    );
  }
}
