/** `ostiary version`: prints the version. */
import { build } from "../runtime/version.ts";
import { print } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";

export const versionCommand: AddCommand = (program) => {
  program
    .command("version")
    .description("Print the version")
    .option("--json", "Print JSON")
    .action(async (options: { json?: true }) => {
      await print(options.json ? `${JSON.stringify(build)}\n` : `${versionText}${restriction}\n`);
    });
};

const commit = build.commit === null ? "" : `, commit ${build.commit}`;
export const versionText = `ostiary ${build.version} (${build.runtime} ${build.runtimeVersion}${commit})`;

/** What the runtime cannot do; undefined for the built binary. */
const restriction = build.restriction === null ? "" : `\n${build.restriction}`;
