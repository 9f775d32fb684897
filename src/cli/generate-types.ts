import { Argument } from "commander";
import { generateTypeScript } from "../engine/policy/typescript.ts";
import { print, printContent } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import type { AddCommand } from "./command.ts";
import { readPolicyFiles } from "./policy-files.ts";
import { check, printReport } from "./policy-report.ts";
import { replaceFile } from "./atomic-write.ts";

const help = `
The types are for Oso Cloud's Node.js client, which then refuses misspelt roles, actions, predicates and types
when the program is compiled:

  ostiary generate-types typescript policy.polar --output src/polar-types.ts

  import { Oso } from "oso-cloud";
  import type { PolarTypes } from "./polar-types.js";
  const oso = new Oso<PolarTypes>(url, apiKey);

\`fact\` is what may be stored, \`query\` what may be asked; \`resources\`, and \`PolarResources\` as a value, hold the
names that the blocks declare. Where the policy only ever writes out values (\`is_public(doc, true)\`), no other is
taken: \`declare is_public(Doc, Boolean);\` opens the place. The same policy always gives the same text, so a build can
compare it with the file.
`;

export const generateTypesCommand: AddCommand = (program, finish) => {
  program
    .command("generate-types")
    .description("Print the types of a policy, for clients that are checked against it")
    .addArgument(new Argument("<language>", "the language of the client").choices(["typescript"]))
    .argument("<files...>", "policy files; several form one policy")
    .option("--output <file>", "write them to this file, whole or not at all, instead of printing them")
    .addHelpText("after", help)
    .action(async (language: string, files: string[], options: { output?: string }) => {
      const checked = check(await readPolicyFiles(files), { runTests: false });
      await printReport(checked);
      if (checked.active === undefined) return finish(1);
      const command = ["ostiary", "generate-types", language, ...files].map(asWord).join(" ");
      const types = generateTypeScript(checked.active, command);
      if (options.output === undefined) return printContent(types);
      await replaceFile(options.output, types);
      await print(`${printable(options.output)}: written\n`);
    });
};

/** A word of a command line, on one line whatever a file is called. */
function asWord(text: string): string {
  if (/^[\w./@%+=:,-]+$/.test(text)) return text;
  return JSON.stringify(text).replace(/[\u2028\u2029]/g, (separator) => `\\u${separator.charCodeAt(0).toString(16)}`);
}
