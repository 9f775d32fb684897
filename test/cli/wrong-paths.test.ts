/** Wrong paths and addresses of commands: one message that names them and the remedy, and never a stack trace. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { workspace } from "./workspace.ts";

const { run, write, path } = workspace();

const noStore = "`file` is not the data directory of a node: it contains no database; name one with `--data`\n";

test.each([
  ["of a backup", ["backup", "--data", "file", "--out", "x"], 2, noStore],
  ["of a plan", ["plan", "--data", "file", "allow(User:_, read, Doc:_)"], 2, noStore],
  ["of a snapshot", ["snapshot", "create", "--data", "file", "--out", "x"], 2, noStore],
  ["of a migration", ["migrate", "--data", "file"], 2, noStore],
  [
    "of an approval",
    ["adopt-history", "0123456789abcdef", "--data", "file"],
    1,
    "`file/history` cannot be used: a part of its path is a file; name another path\n",
  ],
])("a data directory %s that is a file", async (_name, parameters, status, said) => {
  write("file", "");
  const told = await run(parameters);
  expect(told.errors).toContain(said);
  expect({ status: told.status, output: told.output }).toEqual({ status, output: "" });
  expect(told.errors).toMatch(/^error: .*\n$/);
});

test("a node that does not answer a command", async () => {
  const access = { OSO_URL: "http://127.0.0.1:9", OSO_AUTH: "e_default_admin_0123456789abcdef" };
  for (const parameters of [
    ["keys", "list"],
    ["events"],
    ["explain", "User:a", "read", "Doc:b"],
    ["backup", "--out", "x"],
  ])
    expect(await run(parameters, "", access)).toEqual({
      status: 1,
      output: "",
      errors:
        "error: no answer from http://127.0.0.1:9: nothing listens there (ECONNREFUSED); check that a node runs there, or name another node with `--url` or OSO_URL\n",
    });
  expect((await run(["health", "--url", "http://127.0.0.1:9"])).errors).toBe(
    "error: no answer from http://127.0.0.1:9: nothing listens there (ECONNREFUSED); check that a node runs there, or name another node with `--url`\n",
  );
});

test("a file of facts that is missing or a directory", async () => {
  const access = { OSO_AUTH: "e_default_admin_0123456789abcdef" };
  expect(await run(["import", "facts", "none.ndjson"], "", access)).toEqual({
    status: 1,
    output: "",
    errors: "error: `none.ndjson` cannot be used: there is no such file; name another path\n",
  });
  expect(await run(["import", "facts", "."], "", access)).toEqual({
    status: 2,
    output: "",
    errors: "error: `.` is a directory; name a file with facts\n",
  });
});

test("an output that is not a file", async () => {
  mkdirSync(path("folder"));
  const access = { OSO_AUTH: "e_default_admin_0123456789abcdef" };
  for (const out of ["folder", "/dev/null"])
    expect(await run(["export", "--out", out], "", access)).toEqual({
      status: 2,
      output: "",
      errors: `error: \`${out}\` is not a file; name another one, or leave out --out for standard output\n`,
    });
});

test("a URL with a password is refused, and not shown", async () => {
  const access = { OSO_URL: "http://ann:secret@127.0.0.1:9", OSO_AUTH: "e_default_admin_0123456789abcdef" };
  expect(await run(["get"], "", access)).toEqual({
    status: 2,
    output: "",
    errors: "error: the URL of the node has a user name or a password; remove it, OSO_AUTH has the API key\n",
  });
});

test("a watched policy that is a pipe or a device, which would block the node or fill its memory", async () => {
  execFileSync("mkfifo", [path("pipe.polar")]);
  symlinkSync("/dev/zero", path("zero.polar"));
  for (const file of ["pipe.polar", "zero.polar"]) {
    const { status, errors } = await run(["dev", "--watch-for-changes", file]);
    expect(errors).toContain(
      `${file}:1:1: error: the file cannot be read: it is no regular file; name a readable policy file`,
    );
    expect(status).toBe(1);
  }
});
