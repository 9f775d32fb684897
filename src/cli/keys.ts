/** API keys of a running node, over its own API: whoever calls this holds an admin key already. */
import { Option, type Command } from "commander";
import { print } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { accessOf, callNode, withAccess } from "./node-api.ts";

interface ListedKey {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly created: string;
}

interface MadeKey {
  readonly id: string;
  readonly token: string;
}

export const keysCommand: AddCommand = (program) => {
  const keys = program.command("keys").description("Create, list and revoke API keys on a running node");
  withAccess(keys.command("create"), "admin")
    .description("Make a key; it is shown this once")
    .addOption(new Option("--role <role>", "what it may do").choices(["admin", "write", "read"]).default("write"))
    .requiredOption("--name <name>", "what it is for")
    .option("--json", "as JSON, with its id")
    .action(async (options: { role: string; name: string; json?: true }, command: Command) => {
      const { role, name } = options;
      const made = (await callNode(accessOf(command, "admin"), "POST", "/api/keys", { role, name })) as MadeKey;
      const { id, token } = made;
      await print(options.json ? `${JSON.stringify({ id, name, role, token }, null, 2)}\n` : `${printable(token)}\n`);
    });
  withAccess(keys.command("list"), "admin")
    .description("Show the keys that there are, without their secrets")
    .option("--json", "as JSON")
    .action(async (options: { json?: true }, command: Command) => {
      const { keys: listed } = (await callNode(accessOf(command, "admin"), "GET", "/api/keys")) as {
        keys: ListedKey[];
      };
      const rows = listed.map(({ id, role, created, name }) => [id, role, created, name]);
      await print(
        options.json ? `${JSON.stringify(listed, null, 2)}\n` : table(["ID", "ROLE", "CREATED", "NAME"], rows),
      );
    });
  withAccess(keys.command("revoke"), "admin")
    .description("Take a key away; nodes refuse it as soon as they learn of it")
    .argument("<id>", "as `ostiary keys list` shows it")
    .option("--json", "as JSON")
    .action(async (id: string, options: { json?: true }, command: Command) => {
      await callNode(accessOf(command, "admin"), "DELETE", `/api/keys/${encodeURIComponent(id)}`);
      await print(options.json ? `${JSON.stringify({ id, revoked: true }, null, 2)}\n` : `revoked ${printable(id)}\n`);
    });
};

/** A table for people: columns with headings, one row per line. */
function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((cells) => cells.map(printable));
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
