/** `ostiary keys`: creates, lists, rotates and revokes API keys of a running node over its API; it needs an admin key. */
import { Option, type Command } from "commander";
import { keyEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, askEndpoint, callEndpoint, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

interface CreateOptions {
  readonly role: string;
  readonly name: string;
  readonly expires?: string;
  readonly onlyPredicates?: readonly string[];
  readonly onlyTypes?: readonly string[];
  readonly json?: true;
}

type ListedKey = ResponseOf<typeof keyEndpoints.getKeys>["keys"][number];

export const keysCommand: AddCommand = (program) => {
  const keys = program.command("keys").description("Create, list, rotate and revoke API keys on a running node");
  withAccess(keys.command("create"), keyEndpoints.postKey)
    .description("Create a key; only this command prints it")
    .addOption(new Option("--role <role>", "Its permissions").choices(["admin", "write", "read"]).default("write"))
    .requiredOption("--name <name>", "Its purpose")
    .option("--expires <when>", "A duration such as 90d, or a time such as 2027-01-31T00:00:00Z (default: never)")
    .option("--only-predicates <names>", "It may only change facts with these predicates, separated by commas", listOf)
    .option("--only-types <types>", "It may only change facts whose arguments have these types", listOf)
    .option("--json", "Print the key and its id as JSON")
    .action(createKey);
  withAccess(keys.command("list"), keyEndpoints.getKeys)
    .description("List all keys, without their secrets")
    .option("--json", "Print JSON")
    .action(listKeys);
  withAccess(keys.command("rotate"), keyEndpoints.postKeyRotation)
    .description("Give a key a new secret; only this command prints it. The present one stays valid for a while")
    .argument("<id>", "The id from `ostiary keys list`")
    .option("--grace <duration>", "How long the present secret stays valid (default: 24h)")
    .option("--expires <when>", "When the new secret expires (default: as the present one)")
    .option("--json", "Print the key and its id as JSON")
    .action(async (id: string, options: { grace?: string; expires?: string; json?: true }, command: Command) => {
      const { grace, expires } = options;
      const request = { params: { id }, body: { grace, expires } };
      await printKey(await callEndpoint(accessOf(command), keyEndpoints.postKeyRotation, request), options);
    });
  withAccess(keys.command("revoke"), keyEndpoints.deleteKey)
    .alias("delete")
    .description("Revoke a key; each node refuses it as soon as it has the event")
    .argument("<id>", "The id from `ostiary keys list`")
    .option("--json", "Print JSON")
    .action(async (id: string, options: { json?: true }, command: Command) => {
      await askEndpoint(accessOf(command), keyEndpoints.deleteKey, { params: { id } });
      await print(options.json ? `${JSON.stringify({ id, revoked: true }, null, 2)}\n` : `revoked ${printable(id)}\n`);
    });
};

const listOf = (text: string): string[] => text.split(",").map((name) => name.trim());

async function createKey(options: CreateOptions, command: Command): Promise<void> {
  const { role, name, expires, onlyPredicates, onlyTypes } = options;
  const isLimited = [expires, onlyPredicates, onlyTypes].some((limit) => limit !== undefined);
  const grant = { role, expires, only_predicates: onlyPredicates, only_types: onlyTypes };
  const body = isLimited ? { name, grant } : { name, role };
  await printKey(await callEndpoint(accessOf(command), keyEndpoints.postKey, { body }), options);
}

type CreatedKey = ResponseOf<typeof keyEndpoints.postKey>;

async function printKey(created: CreatedKey, { json }: { readonly json?: true }): Promise<void> {
  const { message: _, ...key } = created;
  await print(json ? `${JSON.stringify(key, null, 2)}\n` : `${printable(key.token)}\n`);
}

async function listKeys({ json }: { readonly json?: true }, command: Command): Promise<void> {
  const { keys: listed } = await callEndpoint(accessOf(command), keyEndpoints.getKeys);
  if (json) return print(`${JSON.stringify(listed, null, 2)}\n`);
  const rows = listed.map((key) => [key.id, key.role, key.created, validityOf(key), key.last_used ?? "-", key.name]);
  const restrictions = listed.flatMap(restrictionLines).map((line) => `${printable(line)}\n`);
  await print(table(["ID", "ROLE", "CREATED", "EXPIRES", "LAST USED", "NAME"], rows) + restrictions.join(""));
}

function validityOf({ expires, expired }: ListedKey): string {
  if (expires === undefined) return "never";
  return expired === true ? `${expires} (expired)` : expires;
}

/** What does not fit into a table. */
function restrictionLines({ id, only_predicates: predicates, only_types: types, replaced_expires: end }: ListedKey) {
  return [
    ...(predicates === undefined ? [] : [`${id} may only change facts with the predicate ${predicates.join(", ")}`]),
    ...(types === undefined ? [] : [`${id} may only change facts with arguments of the type ${types.join(", ")}`]),
    ...(end === undefined ? [] : [`${id} has a second secret until ${end}`]),
  ];
}
