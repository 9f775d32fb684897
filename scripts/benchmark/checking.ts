/**
 * The cost of checking a large policy, in this process and as a command. The baseline is `JSON.parse` of the same bytes as
 * one string.
 */
import * as Bun from "bun";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { timeInTurns, type Times } from "./timing.ts";

export interface CheckTimes {
  readonly lines: number;
  readonly bytes: number;
  readonly parseJson: Times;
  readonly check: Times;
  /** The whole command, including the start of the process. */
  readonly command: Times;
}

export function measureCheck(binary: string, directory: string, blocks: number): CheckTimes {
  const text = policyOfLines(5000);
  const json = JSON.stringify(text);
  const path = join(directory, "large.polar");
  writeFileSync(path, text);
  const times = timeInTurns(blocks, {
    parseJson: { callsPerBlock: 20, call: () => JSON.parse(json) },
    check: { callsPerBlock: 1, call: () => requireValid(text) },
    command: { callsPerBlock: 1, call: () => requireSuccess([binary, "validate", path]) },
  });
  return { lines: text.split("\n").length - 1, bytes: Buffer.byteLength(text), ...times };
}

function requireSuccess(command: string[]): void {
  if (!Bun.spawnSync(command).success) throw new Error(`${command.join(" ")} failed`);
}

function requireValid(text: string): void {
  const { policy, diagnostics } = checkPolicy([{ name: "large.polar", text }], { runTests: false });
  if (!policy || diagnostics.length > 0) throw new Error("the policy of the benchmark has problems");
}

/** Repeats blocks with inherited and implied roles, a longhand rule with `not` and a test, up to that many lines. */
function policyOfLines(lines: number): string {
  const parts = ["actor User {}\n"];
  for (let index = 0, count = 1; count + linesPerPart <= lines; index += 1, count += linesPerPart)
    parts.push(partOf(index));
  return parts.join("");
}

const linesPerPart = 17;

function partOf(index: number): string {
  return `resource R${index} {
  roles = ["viewer", "editor", "owner"];
  permissions = ["view", "edit", "delete"];
  relations = { parent: R${index}, before: R${Math.max(0, index - 1)} };
  "viewer" if "editor";
  "editor" if "owner";
  "viewer" if "owner" on "before";
  "view" if "viewer";
  "edit" if "editor";
  "delete" if "owner";
  role if role on "parent";
}
has_permission(user: User, "view", thing: R${index}) if is_public(thing) and not is_banned(user);
test "owners of ${index} view it" {
  setup { has_role(User{"ann"}, "owner", R${index}{"x"}); }
  assert allow(User{"ann"}, "view", R${index}{"x"});
}
`;
}
