/** API keys of a running node, over its own API: whoever calls this holds an admin key already. */
import { Option, type Command } from "commander";
import { print } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { UsageError, type AddCommand } from "./command.ts";

interface Access {
  readonly url: string;
  readonly key: string;
}

interface ListedKey {
  readonly id: string;
  readonly name: string;
  readonly role: string;
}

export const keysCommand: AddCommand = (program) => {
  const keys = program.command("keys").description("Create, list and revoke API keys on a running node");
  withAccess(keys.command("create"))
    .description("Make a key; it is shown this once")
    .addOption(new Option("--role <role>", "what it may do").choices(["admin", "write", "read"]).default("write"))
    .requiredOption("--name <name>", "what it is for")
    .action(async (options: { role: string; name: string }, command: Command) => {
      const { role, name } = options;
      const made = (await call(access(command), "POST", "/api/keys", { role, name })) as { token: string };
      await print(`${made.token}\n`);
    });
  withAccess(keys.command("list"))
    .description("Show the keys that there are, without their secrets")
    .option("--json", "as JSON")
    .action(async (options: { json?: true }, command: Command) => {
      const { keys: listed } = (await call(access(command), "GET", "/api/keys")) as { keys: ListedKey[] };
      const lines = listed.map(({ id, role, name }) => `${id}  ${role.padEnd(5)}  ${name}\n`);
      await print(options.json ? `${JSON.stringify(listed, null, 2)}\n` : lines.join(""));
    });
  withAccess(keys.command("revoke"))
    .description("Take a key away; nodes refuse it as soon as they learn of it")
    .argument("<id>", "as `ostiary keys list` shows it")
    .action(async (id: string, _options: unknown, command: Command) => {
      await call(access(command), "DELETE", `/api/keys/${encodeURIComponent(id)}`);
      await print(`revoked ${id}\n`);
    });
};

function withAccess(command: Command): Command {
  return command
    .option("--url <url>", "The node to ask (default: http://127.0.0.1:8080) [OSO_URL]")
    .addHelpText("after", "\nThe admin key that this needs is read from OSO_AUTH.");
}

function access(command: Command): Access {
  const url =
    (command.getOptionValue("url") as string | undefined) ?? (process.env["OSO_URL"] || "http://127.0.0.1:8080");
  const key = process.env["OSO_AUTH"]?.trim();
  if (!key) throw new UsageError("OSO_AUTH is not set; put an admin key of the node into it");
  if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
  return { url: url.replace(/\/+$/, ""), key };
}

async function call({ url, key }: Access, method: string, path: string, body?: object): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`${url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
  } catch (error) {
    throw new AppError("not_ready", `no answer from ${url}: ${(error as Error).message}`);
  }
  const answer = (await response.json().catch(() => ({}))) as { message?: string };
  if (!response.ok)
    throw new AppError("invalid_request", `${url} answered ${response.status}: ${answer.message ?? "no reason given"}`);
  return answer;
}
