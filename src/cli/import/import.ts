/** `ostiary import`: data and policies from elsewhere. Each source is a file of this folder. */
import type { AddCommand } from "../command.ts";
import { addOpenFga, addSpiceDb } from "./relation-schemas.ts";

export const importCommand: AddCommand = (program, finish) => {
  const parent = program.command("import").description("Import policies and facts from other systems");
  addOpenFga(parent, finish);
  addSpiceDb(parent, finish);
};
