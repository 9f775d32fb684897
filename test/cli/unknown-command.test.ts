/** The message about an unknown command names the command that does the job. */
import { expect, test } from "bun:test";
import { workspace } from "./workspace.ts";

const { run, write } = workspace();

test.each([
  [["serv"], "did you mean `serve`?"],
  [["helath"], "did you mean `health`?"],
  [["facts"], "`ostiary get` prints facts"],
  [["insert", "has_role"], "`ostiary tell` stores a fact"],
  [["rm", "has_role"], "`ostiary delete` deletes facts"],
  [["start"], "`ostiary serve` runs a node; `ostiary dev` runs one for development"],
  [["check", "a.polar"], "`ostiary authorize` asks if an action is allowed, and `ostiary validate` checks a policy"],
  [["format", "--check", "a.polar"], "`ostiary fmt` formats a policy"],
  [["rollback", "3"], "`ostiary policy rollback` goes back to an older version of the policy"],
  [["diff"], "`ostiary policy diff` compares versions of the policy"],
  [["history"], "`ostiary policy history` lists the versions of the policy, and `ostiary events` prints all changes"],
  [["bulk"], "`ostiary import facts` inserts the facts of a file"],
  [["translate", "openfga"], "`ostiary import` loads facts, and translates policies of OpenFGA and SpiceDB"],
  [["who-can", "read"], "`ostiary query` prints facts, stored or derived"],
  [["LINT"], "`ostiary validate` checks a policy"],
  [["keys", "add"], "use `ostiary keys create`"],
  [["keys", "revok", "x"], "did you mean `revoke`?"],
  [["environments"], "`ostiary env` manages environments"],
  [["env", "rm", "x"], "use `ostiary env delete`"],
  [["snapshot", "load"], "use `ostiary snapshot import`"],
  [["clear-data"], "`ostiary clear` deletes all facts"],
  [["policy", "upload", "a.polar"], "use `ostiary policy FILE…`"],
  [["policy", "histroy"], "did you mean `history`?"],
  [["policy", "versions"], "use `ostiary policy history`"],
])("%p", async (words, hint) => {
  const { status, output, errors } = await run(words);
  expect([status, output]).toEqual([2, ""]);
  expect(errors).toStartWith(`error: \`ostiary ${words[0]}`);
  expect(errors).toContain(`is not a command; ${hint}; \`ostiary `);
});

test("the migration of a database names the import for data of others", async () => {
  const { status, output, errors } = await run(["migrate", "openfga"]);
  expect([status, output]).toEqual([2, ""]);
  expect(errors).toContain(
    "`ostiary migrate` takes no arguments; `ostiary import` loads facts, and translates policies",
  );
});

test("a file with such a name is an argument", async () => {
  write("upload", "actor User {");
  const { status, errors } = await run(["policy", "upload"], "", { OSO_AUTH: "e_default_admin_0123456789abcdef" });
  expect([status, errors]).toEqual([1, expect.stringContaining("upload:1:12: error: ")]);
});

test("without a similar name, it names the list of commands", async () => {
  const { status, errors } = await run(["zzzzzz\u001b[31m"]);
  expect([status, errors]).toEqual([
    2,
    "error: `ostiary zzzzzz\\u001b[31m` is not a command; `ostiary --help` lists the commands\n",
  ]);
});
