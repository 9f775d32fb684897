/**
 * Failures are in colour on a terminal, and if the environment requests it (https://no-color.org,
 * https://force-color.org).
 */
import { expect, test } from "bun:test";
import { builtBinary } from "../../scripts/built-binary.ts";
import { runOnPseudoTerminal } from "./pseudo-terminal.ts";
import type { Outcome } from "./run-command.ts";
import { workspace } from "./workspace.ts";

const { run, runOnTerminal, runProcess, write, path } = workspace();
const textOf = ({ output, errors }: Outcome): string => output + errors;

type Environment = Readonly<Record<string, string>>;

const red = "\u001b[31m";
const failing =
  'actor User {}\nresource Doc {\n  permissions = ["read"];\n}\ntest "t" {\n  assert allow(User{"a"}, "read", Doc{"d"});\n}\n';

/** Commands that print a failure; the text is red if colours are on. */
const failures: readonly (readonly [name: string, parameters: () => readonly string[], text: string])[] = [
  ["an unknown command", () => ["serv"], "error:"],
  ["an unknown flag", () => ["serve", "--prot", "1"], "error:"],
  ["wrong usage", () => ["keys", "list"], "error:"],
  ["wrong settings", () => ["config", "--role", "leader"], "error:"],
  ["a node that does not answer", () => ["health", "--url", "http://127.0.0.1:9"], "error:"],
  ["a wrong policy", () => ["validate", write("wrong.polar", "allow(")], "error:"],
  ["a wrong policy to format", () => ["fmt", write("wrong.polar", "allow(")], "error:"],
  ["a test that fails", () => ["test", write("failing.polar", failing)], "FAIL"],
];

test.each(failures)("%s is red on a terminal, and in a pipe if colours are forced", async (_name, parameters, text) => {
  const shown = `${red}${text}\u001b[0m`;
  expect(textOf(await runOnTerminal(parameters()))).toContain(shown);
  expect(textOf(await run(parameters(), "", { FORCE_COLOR: "1" }))).toContain(shown);
});

const failed = ["test", "failing.polar"];
const asked = async (environment: Environment): Promise<string> => {
  write("failing.polar", failing);
  return textOf(await run(failed, "", environment));
};

test("a process is red on a terminal, and plain in a pipe", async () => {
  write("failing.polar", failing);
  const { text } = await runOnPseudoTerminal([await builtBinary(), ...failed], { directory: path("") });
  expect(text).toContain(`${red}FAIL\u001b[0m`);
  const piped = textOf(await runProcess(failed));
  expect(piped).toContain("FAIL");
  expect(piped).not.toContain("\u001b");
});

test.each<[Environment]>([
  [{ NO_COLOR: "1" }],
  [{ NO_COLOR: "0", FORCE_COLOR: "1" }],
  [{ FORCE_COLOR: "0" }],
  [{ TERM: "dumb" }],
])("there are no colours on a terminal with %j", async (environment) => {
  write("failing.polar", failing);
  const shown = textOf(await runOnTerminal(failed, "", environment));
  expect(shown).toContain("FAIL");
  expect(shown).not.toContain("\u001b[");
});

test.each<[Environment]>([
  [{}],
  [{ FORCE_COLOR: "" }],
  [{ FORCE_COLOR: "false" }],
  [{ NO_COLOR: "1", FORCE_COLOR: "1" }],
])("there are no colours in a pipe with %j", async (environment) => {
  const shown = await asked(environment);
  expect(shown).toContain("FAIL");
  expect(shown).not.toContain("\u001b[");
});

test.each<[Environment]>([[{ FORCE_COLOR: "true", NO_COLOR: "" }], [{ FORCE_COLOR: "3", TERM: "dumb" }]])(
  "colours are on in a pipe with %j",
  async (environment) => expect(await asked(environment)).toContain(`${red}FAIL\u001b[0m`),
);

test("JSON never has colours", async () => {
  const { output } = await run(["test", "--json", write("failing.polar", failing)], "", { FORCE_COLOR: "1" });
  expect(JSON.parse(output)).toMatchObject({ success: false });
  expect(output).not.toContain("\u001b");
});
