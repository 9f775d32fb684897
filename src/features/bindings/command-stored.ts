/** `ostiary bindings put`, `list`, `get` and `delete`: the data bindings that a running node stores under names. */
import type { Command } from "commander";
import { bindingsEndpoints } from "./endpoints.ts";
import { print, printContent } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { readBindingsText } from "../../cli/bindings/bindings-file.ts";
import { accessOf, askEndpoint, callEndpoint, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

interface JsonOption {
  readonly json?: true;
}

/** Adds the commands to the group `bindings`. */
export function addStoredBindings(bindings: Command): void {
  const name = ["<name>", "Their name: letters, digits, `_` and `-`"] as const;
  withAccess(bindings.command("put"), bindingsEndpoints.putBindings)
    .description("Store data bindings on a running node under a name, or replace them. All nodes get them")
    .argument(...name)
    .argument("<file>", "The YAML file with data bindings")
    .option("--json", "Print JSON")
    .action(async (given: string, file: string, { json }: JsonOption, command: Command) => {
      const body = { data_bindings: await readBindingsText(file) };
      const request = { params: { name: given }, body };
      const { message } = await callEndpoint(accessOf(command), bindingsEndpoints.putBindings, request);
      const unchanged = message.endsWith("unchanged");
      await print(
        json
          ? `${JSON.stringify({ name: given, unchanged }, null, 2)}\n`
          : `${unchanged ? "unchanged" : "stored"} ${printable(given)}\n`,
      );
    });
  withAccess(bindings.command("list"), bindingsEndpoints.getBindings)
    .description("List the data bindings that a running node stores")
    .option("--json", "Print JSON")
    .action(async ({ json }: JsonOption, command: Command) => {
      const { bindings: found } = await callEndpoint(accessOf(command), bindingsEndpoints.getBindings);
      if (json) return print(`${JSON.stringify(found, null, 2)}\n`);
      const rows = found.map(({ name: shown, bytes, stored }) => [shown, String(bytes), stored]);
      return print(table(["NAME", "BYTES", "STORED"], rows));
    });
  withAccess(bindings.command("get"), bindingsEndpoints.getNamedBindings)
    .description("Print data bindings that a running node stores, as YAML")
    .argument(...name)
    .option("--json", "Print JSON, with their size and time")
    .action(async (given: string, { json }: JsonOption, command: Command) => {
      const request = { params: { name: given } };
      const found = await callEndpoint(accessOf(command), bindingsEndpoints.getNamedBindings, request);
      if (json) return print(`${JSON.stringify(found, null, 2)}\n`);
      const { data_bindings: text } = found;
      await printContent(text.endsWith("\n") ? text : `${text}\n`);
    });
  withAccess(bindings.command("delete"), bindingsEndpoints.deleteBindings)
    .description("Remove data bindings that a running node stores")
    .argument(...name)
    .option("--json", "Print JSON")
    .action(async (given: string, { json }: JsonOption, command: Command) => {
      await askEndpoint(accessOf(command), bindingsEndpoints.deleteBindings, { params: { name: given } });
      await print(
        json ? `${JSON.stringify({ name: given, deleted: true }, null, 2)}\n` : `deleted ${printable(given)}\n`,
      );
    });
}
