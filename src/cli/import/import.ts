/** `ostiary import`: data and policies from elsewhere. Each kind of source is a file of this folder. */
import type { AddCommand } from "../command.ts";
import { importFactsCommand } from "./facts.ts";
import { importOpenFgaCommand, importSpiceDbCommand } from "./relation-schemas.ts";

export const importCommand: AddCommand = (program, finish) => {
  const parent = program.command("import").description("Import facts from files, and policies of other systems");
  for (const command of [importFactsCommand, importOpenFgaCommand, importSpiceDbCommand]) command(parent, finish);
};
