import { checkPolicy } from "../engine/policy-check.ts";
import { diagnosticToJson, renderDiagnostics } from "../polar/render.ts";
import { print, printError, wantsColor } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { readPolicyFiles } from "./policy-files.ts";

export const validateCommand: AddCommand = (program, finish) => {
  program
    .command("validate")
    .description("Check a policy, without running its tests")
    .argument("<files...>", "policy files; several form one policy")
    .option("--json", "problems as JSON")
    .action(async (files: string[], options: { json?: true }) => {
      const sources = await readPolicyFiles(files);
      const { diagnostics } = checkPolicy(sources, { runTests: false });
      const valid = diagnostics.every(({ severity }) => severity !== "error");
      if (options.json) {
        const problems = diagnostics.map((diagnostic) => diagnosticToJson(diagnostic, sources));
        await print(`${JSON.stringify({ valid, problems }, null, 2)}\n`);
      } else {
        await printError(renderDiagnostics(diagnostics, sources, { color: wantsColor("stderr") }));
        if (valid) await print(`${files.join(", ")}: valid\n`);
      }
      finish(valid ? 0 : 1);
    });
};
