/** `ostiary bindings`: the data bindings of local authorization. */
import type { AddCommand } from "./command.ts";
import { addStoredBindings } from "./stored-bindings.ts";

export const bindingsCommand: AddCommand = (program) => {
  addStoredBindings(
    program.command("bindings").description("Store the data bindings of local authorization on a node"),
  );
};
