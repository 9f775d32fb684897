/** `ostiary import`: its subcommands, one file each. */
import type { AddCommand } from "../command.ts";
import { importFactsCommand } from "./facts.ts";

export const importCommand: AddCommand = (program, finish) => {
  const parent = program.command("import").description("Insert data from files into a running node");
  for (const command of [importFactsCommand]) command(parent, finish);
};
