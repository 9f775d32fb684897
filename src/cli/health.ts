/** Whether a node can answer questions, as an exit status: what the image's health check and start scripts ask, with no other tool at hand. */
import { print } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { UsageError, type AddCommand } from "./command.ts";
import { configFromCommand } from "./setting-options.ts";

const timeoutMs = 2500;

export const healthCommand: AddCommand = (program, finish) => {
  const command = program
    .command("health")
    .description("Ask a node whether it can answer: status 0 if so, 1 if not")
    .option(
      "--url <url>",
      "The node to ask (default: the one that OSTIARY_HOST and OSTIARY_PORT, or the file, describe)",
    )
    .action(async (options: { url?: string }) => {
      const url = options.url ?? (await ownUrl());
      if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
      const response = await ask(url.replace(/\/+$/, ""));
      await print(`${(await response.text()).trimEnd()}\n`);
      if (!response.ok) finish(1);
    });

  async function ownUrl(): Promise<string> {
    // Which role it has does not matter here, and may have been given to `serve` as a flag.
    const { host, port } = await configFromCommand(command, { ...process.env, OSTIARY_ROLE: "primary" });
    return `http://${reachable(host)}:${port}`;
  }
};

/** Who listens on every interface is asked on loopback. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::" || host === "[::]") return "[::1]";
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

async function ask(url: string): Promise<Response> {
  try {
    return await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw new AppError("not_ready", `no answer from ${url}: ${(error as Error).message}`);
  }
}
