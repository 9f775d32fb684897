/** `ostiary generate-types`: prints the types of a policy for clients. */
import { Argument } from "commander";
import { generateTypeScript } from "../policy/typescript.ts";
import { policyReport } from "../engine/validation/policy-report.ts";
import { print, printContent } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { checkFiles, printReport } from "./policy-files.ts";
import { replaceFile } from "./atomic-write.ts";

const help = `
The types are for Oso Cloud's Node.js client. With them the TypeScript compiler rejects misspelt roles, actions,
predicates and types:

  ostiary generate-types typescript policy.polar --output src/polar-types.ts

  import { Oso } from "oso-cloud";
  import type { PolarTypes } from "./polar-types.js";
  const oso = new Oso<PolarTypes>(url, apiKey);

\`fact\` is the type of facts that can be stored, \`query\` that of facts in queries; \`resources\`, and \`PolarResources\` as
a value, have the names that the blocks declare. If the policy uses an argument only with constants
(\`is_public(doc, true)\`), the type accepts only these: \`declare is_public(Doc, Boolean);\` makes it accept all values. The
same policy always gives the same text, so a build can compare it with the file.
`;

interface Options {
  readonly output?: string;
  readonly json?: true;
}

export const generateTypesCommand: AddCommand = (program, finish) => {
  program
    .command("generate-types")
    .description("Print the types of a policy, for type-checked clients")
    .addArgument(new Argument("<language>", "The language of the client").choices(["typescript"]))
    .argument("<files...>", "Policy files; several form one policy")
    .option("--output <file>", "Write the types to this file atomically instead of printing them")
    .option("--json", "Print the problems of the policy and, without --output, the types as JSON")
    .addHelpText("after", help)
    .action(async (language: string, files: string[], options: Options) => {
      const { output, json } = options;
      const checked = await checkFiles(files, { runTests: false });
      if (!json) await printReport(checked);
      const command = ["ostiary", "generate-types", language, ...files].map(asWord).join(" ");
      const types = checked.active && generateTypeScript(checked.active, command);
      if (types !== undefined && output !== undefined) await replaceFile(output, types);
      if (json) {
        const report = policyReport(checked, checked.sources, checked.options);
        await print(`${JSON.stringify({ ...report, ...(output === undefined ? { types } : { output }) }, null, 2)}\n`);
      } else if (types !== undefined) {
        await (output === undefined ? printContent(types) : print(`${printable(output)}: written\n`));
      }
      if (types === undefined) finish(1);
    });
};

/** An argument of a command line as one line, whatever its characters. */
function asWord(text: string): string {
  if (/^[\w./@%+=:,-]+$/.test(text)) return text;
  return JSON.stringify(text).replace(/[\u2028\u2029]/g, (separator) => `\\u${separator.charCodeAt(0).toString(16)}`);
}
