/** `ostiary keys`: creates, lists and revokes API keys of a running node over its API, which needs an admin key. */
import { Option, type Command } from "commander";
import { print } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";
import { table } from "./table.ts";

export const keysCommand: AddCommand = (program) => {
  const keys = program.command("keys").description("Create, list and revoke API keys on a running node");
  withAccess(keys.command("create"), "admin")
    .description("Create a key; only this command prints it")
    .addOption(new Option("--role <role>", "Its permissions").choices(["admin", "write", "read"]).default("write"))
    .requiredOption("--name <name>", "Its purpose")
    .option("--json", "Print the key and its id as JSON")
    .action(async (options: { role: string; name: string; json?: true }, command: Command) => {
      const { role, name } = options;
      const created = await callNode(accessOf(command, "admin"), "POST", "/api/keys", { role, name });
      const { id, token } = created as { id: string; token: string };
      await print(options.json ? `${JSON.stringify({ id, name, role, token }, null, 2)}\n` : `${printable(token)}\n`);
    });
  withAccess(keys.command("list"), "admin")
    .description("List all keys, without their secrets")
    .option("--json", "Print JSON")
    .action(async (options: { json?: true }, command: Command) => {
      const answer = await callNode(accessOf(command, "admin"), "GET", "/api/keys");
      const { keys: listed } = answer as { keys: { id: string; name: string; role: string; created: string }[] };
      const rows = listed.map(({ id, role, created, name }) => [id, role, created, name]);
      await print(
        options.json ? `${JSON.stringify(listed, null, 2)}\n` : table(["ID", "ROLE", "CREATED", "NAME"], rows),
      );
    });
  withAccess(keys.command("revoke"), "admin")
    .description("Revoke a key; each node refuses it as soon as it has the event")
    .argument("<id>", "The id from `ostiary keys list`")
    .option("--json", "Print JSON")
    .action(async (id: string, options: { json?: true }, command: Command) => {
      await callNode(accessOf(command, "admin"), "DELETE", `/api/keys/${encodeURIComponent(id)}`);
      await print(options.json ? `${JSON.stringify({ id, revoked: true }, null, 2)}\n` : `revoked ${printable(id)}\n`);
    });
};
