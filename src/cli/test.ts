import { checkPolicy, type PolicyTestResult } from "../engine/policy-check.ts";
import { diagnosticToJson, renderDiagnostics } from "../polar/render.ts";
import { print, printError, wantsColor } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { readPolicyFiles } from "./policy-files.ts";

export const testCommand: AddCommand = (program, finish) => {
  program
    .command("test")
    .description("Check a policy and run its test blocks")
    .argument("<files...>", "policy files; several form one policy")
    .option("--json", "results and problems as JSON")
    .action(async (files: string[], options: { json?: true }) => {
      const sources = await readPolicyFiles(files);
      const { diagnostics, tests } = checkPolicy(sources, { runTests: true });
      const success = diagnostics.every(({ severity }) => severity !== "error") && tests?.success === true;
      if (options.json) {
        const problems = diagnostics.map((diagnostic) => diagnosticToJson(diagnostic, sources));
        await print(
          `${JSON.stringify({ success, problems, tests: tests?.tests ?? [], errors: tests?.errors ?? [] }, null, 2)}\n`,
        );
      } else {
        await printError(renderDiagnostics(diagnostics, sources, { color: wantsColor("stderr") }));
        if (tests !== undefined) await print(renderTests(tests));
      }
      finish(success ? 0 : 1);
    });
};

function renderTests({ tests, errors }: PolicyTestResult): string {
  const lines = tests.map(
    ({ name, passed, total }) => `${passed === total ? "pass" : "FAIL"}  ${name} (${passed} of ${total})`,
  );
  const failed = tests.filter(({ passed, total }) => passed < total).length;
  const sum =
    tests.length === 0 ? "the policy has no tests" : `${tests.length - failed} of ${tests.length} tests passed`;
  return `${[...lines, ...errors.map(({ message }) => message), sum].join("\n")}\n`;
}
