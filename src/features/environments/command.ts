/**
 * `ostiary env`: the environments of an appliance, over the API of a running node. It needs an admin key of the default
 * environment.
 */
import type { Command } from "commander";
import { environmentEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { isTerminal, print, readAnswer } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { printFailure, printWarning } from "../../cli/color.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { accessOf, callEndpoint, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

interface JsonOption {
  readonly json?: true;
}

interface CreateOptions extends JsonOption {
  readonly name?: string;
  readonly copyOf?: string;
  readonly again?: true;
}

type ListedEnvironment = ResponseOf<typeof environmentEndpoints.getEnvironments>["environments"][number];

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
  withAccess(environments.command("list"), environmentEndpoints.getEnvironments)
    .description("List the environments, and whether the node that answers follows them")
    .option("--json", "Print JSON")
    .action(listEnvironments);
  withAccess(environments.command("create"), environmentEndpoints.postEnvironment)
    .description("Create an environment and print its first API key, an admin key; only this command prints it")
    .argument("<id>", idText)
    .option(...nameOption)
    .option("--copy-of <id>", "Begin with the policy and the facts of this environment, without its API keys")
    .option("--again", "Begin an environment again whose data never arrived, such as after the loss of its primary")
    .option("--json", "Print the key and the environment as JSON")
    .action(createEnvironment);
  withAccess(environments.command("copy"), environmentEndpoints.postEnvironment)
    .description("Create an environment with the policy and the facts of another one, as `create --copy-of` does")
    .argument("<source>", "The id of the environment to copy, such as `default`")
    .argument("<id>", idText)
    .option(...nameOption)
    .option("--json", "Print the key and the environment as JSON")
    .action((source: string, id: string, options: CreateOptions, command: Command) =>
      createEnvironment(id, { ...options, copyOf: source }, command),
    );
  withAccess(environments.command("key"), environmentEndpoints.postEnvironmentKey)
    .description("Create and print another admin key of an environment, such as one whose keys are lost")
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...created } = await callEndpoint(
        accessOf(command),
        environmentEndpoints.postEnvironmentKey,
        { params: { id } },
      );
      await print(json ? asJson(created) : `${printable(created.token)}\n`);
    });
  withAccess(environments.command("rename"), environmentEndpoints.patchEnvironment)
    .description("Give an environment another name; its id and its API keys stay the same")
    .argument("<id>", "The id from `ostiary env list`")
    .argument("<name>", "The new name")
    .option("--json", "Print JSON")
    .action(async (id: string, name: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...renamed } = await callEndpoint(accessOf(command), environmentEndpoints.patchEnvironment, {
        params: { id },
        body: { name },
      });
      await print(json ? asJson(renamed) : `${printable(id)} is now named ${printable(name)}\n`);
    });
  withAccess(environments.command("delete"), environmentEndpoints.deleteEnvironment)
    .description(
      "Delete an environment. Its API keys stop working at once; its data is deleted after `environmentGrace` (7 days), until then `restore` undoes it",
    )
    .argument("<id>", "The id from `ostiary env list`")
    .option("--yes", "Do not ask")
    .option("--json", "Print JSON")
    .action(async (id: string, options: JsonOption & { readonly yes?: true }, command: Command) => {
      if (options.yes || (await isConfirmed(id, accessOf(command).url))) return deleteEnvironment(id, options, command);
      await printFailure("nothing was deleted");
      finish(1);
    });
  withAccess(environments.command("complete"), environmentEndpoints.postEnvironmentsComplete)
    .description(
      "Say that there are no other environments: after `ostiary restore`, keys of unknown ones are then refused with 401 at once, and not with 503 for an hour (`environmentsUnknown`)",
    )
    .option("--json", "Print JSON")
    .action(async ({ json }: JsonOption, command: Command) => {
      const { message, ...rest } = await callEndpoint(accessOf(command), environmentEndpoints.postEnvironmentsComplete);
      await print(json ? asJson(rest) : `${printable(message)}\n`);
    });
  withAccess(environments.command("restore"), environmentEndpoints.restoreEnvironment)
    .description("Undo the deletion of an environment: its API keys work again")
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...restored } = await callEndpoint(
        accessOf(command),
        environmentEndpoints.restoreEnvironment,
        { params: { id } },
      );
      await print(json ? asJson(restored) : `restored ${printable(id)}\n`);
    });
  withAccess(environments.command("abandon"), environmentEndpoints.abandonEnvironment)
    .description(
      "Forget an environment whose data never arrived, such as after the loss of its primary; its id is free then. A node that has its data keeps them on its disk",
    )
    .argument("<id>", "The id from `ostiary env list`")
    .option("--json", "Print JSON")
    .action(async (id: string, { json }: JsonOption, command: Command) => {
      const { message: _, ...abandoned } = await callEndpoint(
        accessOf(command),
        environmentEndpoints.abandonEnvironment,
        { params: { id } },
      );
      await print(json ? asJson(abandoned) : `abandoned ${printable(id)}\n`);
    });
};

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

async function createEnvironment(id: string, options: CreateOptions, command: Command): Promise<void> {
  const { name, copyOf, again, json } = options;
  const body = { id, name, copy_of: copyOf, again };
  const access = accessOf(command);
  const request = { body, timeoutMs: createTimeoutMs };
  const { message: _, ...created } = await callEndpoint(access, environmentEndpoints.postEnvironment, request);
  await print(json ? asJson(created) : `${printable(created.token)}\n`);
}

async function deleteEnvironment(id: string, { json }: JsonOption, command: Command): Promise<void> {
  const request = { params: { id } };
  const { message: _, ...deleted } = await callEndpoint(
    accessOf(command),
    environmentEndpoints.deleteEnvironment,
    request,
  );
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
  const { environments, incomplete_until: until } = await callEndpoint(
    accessOf(command),
    environmentEndpoints.getEnvironments,
  );
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
