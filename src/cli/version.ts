import { build } from "../runtime/version.ts";
import { print } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";

export const versionCommand: AddCommand = (program) => {
  program
    .command("version")
    .description("Say which build this is")
    .option("--json", "as JSON")
    .action(async (options: { json?: true }) => {
      const commit = build.commit === null ? "" : `, commit ${build.commit}`;
      await print(
        options.json ? `${JSON.stringify(build)}\n` : `ostiary ${build.version} (Bun ${build.bun}${commit})\n`,
      );
    });
};
