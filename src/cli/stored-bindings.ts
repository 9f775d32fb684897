/** `ostiary bindings put`, `list`, `get` and `delete`: the data bindings that a running node stores under names. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { z } from "zod";
import { print, printContent } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { fileProblem } from "../util/reason.ts";
import { printable } from "../util/printable.ts";
import { accessOf, callNode, expectAnswer, withAccess } from "./node-api.ts";
import { table } from "./table.ts";

const listed = z.object({ name: z.string(), bytes: z.number(), stored: z.string() });
const listSchema = z.object({ bindings: z.array(listed) });
const storedSchema = listed.extend({ data_bindings: z.string() });

interface JsonOption {
  readonly json?: true;
}

/** Adds the commands to the group `bindings`. */
export function addStoredBindings(bindings: Command): void {
  const name = ["<name>", "Their name: letters, digits, `_` and `-`"] as const;
  withAccess(bindings.command("put"), "admin")
    .description("Store data bindings on a running node under a name, or replace them. All nodes get them")
    .argument(...name)
    .argument("<file>", "The YAML file with data bindings")
    .option("--json", "Print JSON")
    .action(async (given: string, file: string, { json }: JsonOption, command: Command) => {
      const body = { data_bindings: await readBindingsText(file) };
      const answer = await callNode(accessOf(command, "admin"), "PUT", pathOf(given), body);
      const { message } = expectAnswer(z.object({ message: z.string() }), answer, "that of stored data bindings");
      const unchanged = message.endsWith("unchanged");
      await print(
        json
          ? `${JSON.stringify({ name: given, unchanged }, null, 2)}\n`
          : `${unchanged ? "unchanged" : "stored"} ${printable(given)}\n`,
      );
    });
  withAccess(bindings.command("list"), "read")
    .description("List the data bindings that a running node stores")
    .option("--json", "Print JSON")
    .action(async ({ json }: JsonOption, command: Command) => {
      const answer = await callNode(accessOf(command, "read"), "GET", "/api/bindings");
      const { bindings: found } = expectAnswer(listSchema, answer, "a list of data bindings");
      if (json) return print(`${JSON.stringify(found, null, 2)}\n`);
      const rows = found.map(({ name: shown, bytes, stored }) => [shown, String(bytes), stored]);
      return print(table(["NAME", "BYTES", "STORED"], rows));
    });
  withAccess(bindings.command("get"), "read")
    .description("Print data bindings that a running node stores, as YAML")
    .argument(...name)
    .option("--json", "Print JSON, with their size and time")
    .action(async (given: string, { json }: JsonOption, command: Command) => {
      const answer = await callNode(accessOf(command, "read"), "GET", pathOf(given));
      const found = expectAnswer(storedSchema, answer, "that of data bindings");
      if (json) return print(`${JSON.stringify(found, null, 2)}\n`);
      const { data_bindings: text } = found;
      await printContent(text.endsWith("\n") ? text : `${text}\n`);
    });
  withAccess(bindings.command("delete"), "admin")
    .description("Remove data bindings that a running node stores")
    .argument(...name)
    .option("--json", "Print JSON")
    .action(async (given: string, { json }: JsonOption, command: Command) => {
      await callNode(accessOf(command, "admin"), "DELETE", pathOf(given));
      await print(
        json ? `${JSON.stringify({ name: given, deleted: true }, null, 2)}\n` : `deleted ${printable(given)}\n`,
      );
    });
}

function pathOf(name: string): string {
  return `/api/bindings/${encodeURIComponent(name)}`;
}

/** Throws `invalid_request`. */
export async function readBindingsText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AppError("invalid_request", `\`${file}\` cannot be read: ${fileProblem(error)}`);
  }
}
