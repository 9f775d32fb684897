/**
 * `ostiary env`: the environments of an appliance, over the API of a running node. It needs an admin key of the default
 * environment.
 */
import type { Command } from "commander";
import { isTerminal, print, readAnswer } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import { printFailure, printWarning } from "./color.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";
import { table } from "./table.ts";

interface JsonOption {
  readonly json?: true;
}

interface CreateOptions extends JsonOption {
  readonly name?: string;
  readonly copyOf?: string;
  readonly again?: true;
}

interface ListedEnvironment {
  readonly id: string;
  readonly name: string;
  readonly created: string | null;
  readonly state: string;
  readonly is_default?: true;
  readonly final?: string;
  readonly role?: string;
  readonly offset?: number | null;
  readonly ready?: boolean;
}

/** A copy of many facts takes its time. */
const createTimeoutMs = 600_000;

const idText = "Its id: 1 to 32 of `a-z`, `0-9` and `-`. It is part of its API keys and never changes";
const nameOption = ["--name <name>", "Its name for people, up to 100 characters (default: the id)"] as const;

export const envCommand: AddCommand = (program, finish) => {
  const environments = program
    .command("env")
    .description(
      "List, create, copy, rename, delete, restore and abandon environments, and create their admin keys. Each has its own policy, facts and API keys. They need an admin key of the default environment",
    )
    .addHelpText(
      "after",
      `
Examples:
  ostiary env create staging                     prints its first API key, an admin key
  ostiary env copy default before-release        the same policy and facts, with keys of its own
  ostiary env key staging                        prints another admin key, if all others are lost
  ostiary env list
  ostiary env delete before-release              \`ostiary env restore\` undoes it for some days`,
    );
  withAccess(environments.command("list"), "admin")
    .description("List the environments, and whether the node that answers follows them")
    .option("--json", "Print JSON")
    .action(listEnvironments);
  withAccess(environments.command("create"), "admin")
    .description("Create an environment and print its first API key, an admin key; only this command prints it")
    .argument("<id>", idText)
    .option(...nameOption)
    .option("--copy-of <id>", "Begin with the policy and the facts of this environment, without its API keys")
    .option("--again", "Begin an environment again whose data never arrived, such as after the loss of its primary")
    .option("--json", "Print the key and the environment as JSON")
    .action(createEnvironment);
  withAccess(environments.command("copy"), "admin")
    .description("Create an environment with the policy and the facts of another one, as `create --copy-of` does")
    .argument("<source>", "The id of the environment to copy, such as `default`")
    .argument("<id>", idText)
    .option(...nameOption)
    .option("--json", "Print the key and the environment as JSON")
    .action((source: string, id: string, options: CreateOptions, command: Command) =>
      createEnvironment(id, { ...options, copyOf: source }, command),
    );
  withAccess(environments.command("key"), "admin")
    .description("Create and print another admin key of an environment, such as one whose keys are lost")
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...created } = (await callEnvironment(command, "POST", id, "/keys")) as NewKey;
      await print(json ? asJson(created) : `${printable(created.token)}\n`);
    });
  withAccess(environments.command("rename"), "admin")
    .description("Give an environment another name; its id and its API keys stay the same")
    .argument("<id>", "The id from `ostiary env list`")
    .argument("<name>", "The new name")
    .option("--json", "Print JSON")
    .action(async (id: string, name: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...renamed } = (await callEnvironment(command, "PATCH", id, "", { name })) as Answer;
      await print(json ? asJson(renamed) : `${printable(id)} is now named ${printable(name)}\n`);
    });
  withAccess(environments.command("delete"), "admin")
    .description(
      "Delete an environment. Its API keys stop working at once; its data is deleted after `environmentGrace` (7 days), until then `restore` undoes it",
    )
    .argument("<id>", "The id from `ostiary env list`")
    .option("--yes", "Do not ask")
    .option("--json", "Print JSON")
    .action(async (id: string, options: JsonOption & { readonly yes?: true }, command: Command) => {
      if (options.yes || (await isConfirmed(id, accessOf(command, "admin").url)))
        return deleteEnvironment(id, options, command);
      await printFailure("nothing was deleted");
      finish(1);
    });
  withAccess(environments.command("complete"), "admin")
    .description(
      "Say that there are no other environments: after `ostiary restore`, keys of unknown ones are then refused with 401 at once, and not with 503 for an hour (`environmentsUnknown`)",
    )
    .option("--json", "Print JSON")
    .action(async ({ json }: JsonOption, command: Command) => {
      const answer = await callNode(accessOf(command, "admin"), "POST", "/api/environments/complete");
      const { message, ...rest } = answer as Answer;
      await print(json ? asJson(rest) : `${printable(message)}\n`);
    });
  withAccess(environments.command("restore"), "admin")
    .description("Undo the deletion of an environment: its API keys work again")
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...restored } = (await callEnvironment(command, "POST", id, "/restore")) as Answer;
      await print(json ? asJson(restored) : `restored ${printable(id)}\n`);
    });
  withAccess(environments.command("abandon"), "admin")
    .description(
      "Forget an environment whose data never arrived, such as after the loss of its primary; its id is free then. A node that has its data keeps them on its disk",
    )
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...abandoned } = (await callEnvironment(command, "POST", id, "/abandon")) as Answer;
      await print(json ? asJson(abandoned) : `abandoned ${printable(id)}\n`);
    });
};

interface Answer {
  readonly message: string;
}

interface NewKey extends Answer {
  readonly token: string;
}

function callEnvironment(command: Command, method: string, id: string, operation: string, body?: object) {
  return callNode(accessOf(command, "admin"), method, `/api/environments/${encodeURIComponent(id)}${operation}`, body);
}

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

async function createEnvironment(id: string, options: CreateOptions, command: Command): Promise<void> {
  const { name, copyOf, again, json } = options;
  const body = { id, name, copy_of: copyOf, again };
  const access = accessOf(command, "admin");
  const answer = await callNode(access, "POST", "/api/environments", body, createTimeoutMs);
  const { message: _, ...created } = answer as NewKey;
  await print(json ? asJson(created) : `${printable(created.token)}\n`);
}

async function deleteEnvironment(id: string, { json }: JsonOption, command: Command): Promise<void> {
  const { message: _, ...deleted } = (await callEnvironment(command, "DELETE", id, "")) as Answer & { final: string };
  const text = `deleted ${printable(id)}; until ${printable(deleted.final)} \`ostiary env restore\` undoes it\n`;
  await print(json ? asJson(deleted) : text);
}

async function isConfirmed(id: string, url: string): Promise<boolean> {
  if (!isTerminal("stdin") || !isTerminal("stderr"))
    throw new UsageError(`this deletes an environment of ${url}; without a terminal, say so with \`--yes\``);
  const question = `Delete the environment ${printable(id)} of ${url}? Its API keys stop working at once. [y/N] `;
  return /^\s*y(?:es)?\s*$/i.test(await readAnswer(question));
}

async function listEnvironments({ json }: JsonOption, command: Command): Promise<void> {
  const answer = await callNode(accessOf(command, "admin"), "GET", "/api/environments");
  const { environments, incomplete_until: until } = answer as {
    readonly environments: readonly ListedEnvironment[];
    readonly incomplete_until?: string;
  };
  if (until !== undefined)
    await printWarning(
      `the node was restored from backups, and until ${printable(until)} it does not know whether it has all environments: restore the missing ones, or run \`ostiary env complete\` if there are no others`,
    );
  if (json) return print(asJson(environments));
  const rows = environments.map((each) => [
    each.id,
    stateOf(each),
    each.role ?? "-",
    String(each.offset ?? "-"),
    each.created ?? "-",
    each.name,
  ]);
  await print(table(["ID", "STATE", "NODE", "OFFSET", "CREATED", "NAME"], rows));
}

function stateOf({ state, final, is_default: isDefault, ready }: ListedEnvironment): string {
  if (state === "deleted") return final === undefined ? "deleted" : `deleted, final at ${final}`;
  const notReady = ready === false ? ", not ready" : "";
  return isDefault === true ? `default${notReady}` : `${state}${notReady}`;
}
