/** Shell completion, in the shells themselves, and the manual page. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { commandTree } from "../../src/cli/command-tree.ts";
import { bashCompletion } from "../../src/cli/completion-bash.ts";
import { fishCompletion } from "../../src/cli/completion-fish.ts";
import { zshCompletion } from "../../src/cli/completion-zsh.ts";
import { describeUnknownCommand } from "../../src/cli/unknown-command.ts";
import { runCommand } from "./run-command.ts";

let directory = "";

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-completion-"));
  for (const name of ["rules.polar", "two words.polar", "notes.txt"]) writeFileSync(join(directory, name), "");
  mkdirSync(join(directory, "policies"));
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(directory, shell === "zsh" ? "_ostiary" : shell), await ostiary("completion", shell));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function ostiary(...words: string[]): Promise<string> {
  const { status, output: text } = await runCommand(words, { directory, environment: {} });
  expect(status).toBe(0);
  return text;
}

function output(command: readonly string[], input = ""): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, TERM: "dumb" },
    stdin: Buffer.from(input),
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with status ${exitCode}: ${stderr.toString()}`);
  return stdout.toString();
}

/** The words to complete, and some of the completions that are expected, and some that are not. */
const cases: readonly (readonly [
  words: readonly string[],
  expected: readonly string[],
  unexpected: readonly string[],
])[] = [
  [["ke"], ["keys"], ["serve"]],
  [["authorize"], ["authorize", "authorize-resources"], ["actions"]],
  [["env", ""], ["create", "copy", "list", "rename", "delete", "restore"], ["serve"]],
  [["keys", ""], ["create", "list", "revoke"], ["serve"]],
  [["keys", "create", "--ro"], ["--role"], ["--name"]],
  [["keys", "create", "--role", ""], ["admin", "write", "read"], ["--name"]],
  [["keys", "create", "--name", "list", "--role", "a"], ["admin"], ["read"]],
  [
    ["serve", "--role", ""],
    ["primary", "edge", "fallback"],
    ["--data", "true"],
  ],
  [["completion", ""], ["bash", "zsh", "fish"], ["rules.polar"]],
  [["validate", "r"], ["rules.polar"], []],
  [["validate", "p"], ["policies/"], []],
  [["backup", "--out", "no"], ["notes.txt"], []],
  [["dev", "--data", "p"], ["policies/"], ["notes.txt"]],
  [["explain", "User:ann", "keys", "--js"], ["--json"], ["--role"]],
];

/** A shell may print a directory with or without its slash. */
const names = (printed: string): string[] => printed.split(/\r?\n/).map((line) => line.replace(/\/$/, ""));

function expectCompletions(printed: string, expected: readonly string[], unexpected: readonly string[]): void {
  const found = names(printed);
  expect(found).toEqual(expect.arrayContaining(expected.map((name) => name.replace(/\/$/, ""))));
  expect(found.filter((name) => unexpected.includes(name))).toEqual([]);
}

describe.skipIf(Bun.which("bash") === null)("bash (skipped if it is not installed)", () => {
  const complete = (words: readonly string[], line = words): string => {
    const quoted = ["ostiary", ...line].map((word) => `'${word}'`).join(" ");
    return output([
      "bash",
      "-c",
      `source ./bash; COMP_WORDS=(${quoted}); COMP_CWORD=${line.length}; _ostiary; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]);
  };

  test.each(cases)("%p", (words, expected, unexpected) => expectCompletions(complete(words), expected, unexpected));

  test("offers only policies and directories where a command takes policies, also with spaces", () => {
    expect(
      names(complete(["fmt", ""]))
        .filter((name) => name !== "")
        .toSorted(),
    ).toEqual(["policies", "rules.polar", "two words.polar"]);
  });

  test("completes the value after `=`, which is a separate word in bash", () => {
    expectCompletions(complete(["keys", "create", "--role", "=", "re"]), ["read"], ["admin"]);
    expectCompletions(complete(["keys", "create", "--role", "="]), ["read", "admin"], []);
  });

  test("is installed for the name of the program", () => {
    expect(output(["bash", "-c", "source ./bash; complete -p ostiary"])).toBe("complete -F _ostiary ostiary\n");
  });
});

describe.skipIf(Bun.which("fish") === null)("fish (skipped if it is not installed)", () => {
  test.each(cases)("%p", (words, expected, unexpected) => {
    const line = ["ostiary", ...words].join(" ");
    const printed = output(["fish", "--no-config", "-c", `source ./fish; complete -C '${line}'`]);
    expectCompletions(printed.replaceAll(/\t.*/g, ""), expected, unexpected);
  });
});

describe.skipIf(Bun.which("zsh") === null)("zsh (skipped if it is not installed)", () => {
  // An interactive zsh in a pseudo-terminal. `compadd` also writes the matches to a file, which the script waits for.
  const script = (lines: readonly string[]): string => `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'unsetopt zle_bracketed_paste beep; LISTMAX=1000; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D'
zpty -w shell 'compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- $found >> found.txt; builtin compadd "$@" }'
zpty -w shell 'finish() { zle complete-word; BUFFER=""; print done >> found.txt }; zle -N finish; bindkey "^I" finish'
for line in ${lines.map((line) => `'${line}'`).join(" ")}; do
  zpty -w -n shell "$line"$'\\t'
  for try in {1..1500}; do
    [[ -e found.txt && "$(<found.txt)" == *done* ]] && break
    zpty -r -t shell >/dev/null
    sleep 0.02
  done
  print -r -- "$(<found.txt)"
  rm -f found.txt
done
zpty -d shell
`;
  let printed: readonly string[] = [];
  beforeAll(() => {
    const lines = cases.map(([words]) => ["ostiary", ...words].join(" "));
    printed = output(["zsh", "-f", "-c", script(lines)]).split("done\n");
  }, 60_000);

  test.each(cases.map((each, index) => [...each, index] as const))("%p", (_, expected, unexpected, index) =>
    expectCompletions(printed[index] ?? "", expected, unexpected),
  );
});

describe("a command with arguments and subcommands", () => {
  const program = new Command("ostiary");
  const group = program.command("policy").argument("[files...]", "Policy files");
  group.command("show");
  const tree = commandTree(program);

  test("is not taken for a group with an unknown subcommand", () => {
    expect(describeUnknownCommand(program, ["policy", "rules.polar"])).toBeUndefined();
    expect(describeUnknownCommand(program, ["policy", "show", "x"])).toBeUndefined();
    expect(describeUnknownCommand(program, ["polcy"])).toContain("did you mean `policy`?");
  });

  test.skipIf(Bun.which("bash") === null)("completes both in bash (skipped if it is not installed)", () => {
    const call = `COMP_WORDS=(ostiary policy ''); COMP_CWORD=2; _ostiary; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const printed = output(["bash", "-c", `${bashCompletion(tree)}\n${call}`]);
    expectCompletions(printed, ["show", "rules.polar", "policies/"], ["notes.txt"]);
  });

  test.skipIf(Bun.which("fish") === null)("completes both in fish (skipped if it is not installed)", () => {
    const printed = output(["fish", "--no-config", "-c", `${fishCompletion(tree)}\ncomplete -C 'ostiary policy '`]);
    expectCompletions(printed.replaceAll(/\t.*/g, ""), ["show", "rules.polar"], []);
  });

  test.skipIf(Bun.which("zsh") === null)(
    "has a correct script for zsh with both (skipped if it is not installed)",
    () => {
      const script = zshCompletion(tree);
      expect(output(["zsh", "-f", "-n"], script)).toBe("");
      expect(script).toContain('command) _describe command commands; _files -g "*.polar" ;;');
    },
  );
});

describe("the manual page", () => {
  test("describes each command with its options", async () => {
    const page = (await ostiary("man")).replaceAll("\\-", "-");
    expect(page).toStartWith(".TH OSTIARY 1 ");
    for (const command of ["serve", "authorize-resources", "keys create", "snapshot import", "version"])
      expect(page).toContain(`\n.SS ${command}\n`);
    expect(page).toContain("\n.B -c, --context <fact>\n");
    expect(page).toContain("OSO_DIRECTORY");
    expect(page).not.toContain("--context-facts-max");
  });

  test.skipIf(Bun.which("groff") === null)("is correct for groff (skipped if it is not installed)", async () => {
    const { stderr, exitCode } = Bun.spawnSync(["groff", "-man", "-ww", "-z", "-Tutf8"], {
      stdin: Buffer.from(await ostiary("man")),
    });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  });

  test.skipIf(Bun.which("mandoc") === null)("is correct for mandoc (skipped if it is not installed)", async () => {
    const { stdout } = Bun.spawnSync(["mandoc", "-T", "lint", "-W", "warning"], {
      stdin: Buffer.from(await ostiary("man")),
    });
    // The page has no date, so that the same program always prints the same page.
    expect(
      stdout
        .toString()
        .split("\n")
        .filter((line) => !line.includes("missing date") && line !== ""),
    ).toEqual([]);
  });
});
