/** An invalid configuration file: all commands print one message with its path, the position and the remedy. */
import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { workspace } from "./workspace.ts";

const { run, runProcess, write, path } = workspace();

const secret = "hunter2-hunter2-hunter2";

test.each([
  ["serve", ["serve"]],
  ["config", ["config"]],
  ["health", ["health"]],
  ["backup", ["backup", "--data", ".", "--out", "x"]],
  ["restore", ["restore", "x", "--data", "y"]],
  ["snapshot create", ["snapshot", "create", "--data", ".", "--out", "x"]],
  ["adopt-history", ["adopt-history", "0123456789abcdef"]],
])("%s says where it is not YAML, and does not show the line", async (_name, parameters) => {
  const file = write("unclosed.yaml", `role: primary\nnodeKey: "${secret}\nlog:\n  level: debug\n`);
  const said =
    "error: the configuration file `unclosed.yaml` is not valid YAML at line 2, column 10: the quote that opens here is not closed: close it\n";
  expect(await run([...parameters, "--config", file])).toEqual({ status: 2, output: "", errors: said });
  expect(await run(parameters, "", { OSTIARY_CONFIG: file })).toEqual({ status: 2, output: "", errors: said });
});

describe("a file that cannot be read is named, with the reason and the remedy", () => {
  const large = (): string => write("large.yaml", `# ${"x".repeat(300_000)}\n`);
  const binary = (): string => write("binary.yaml", new Uint8Array([0xff, 0xfe, 0x72, 0x00]));
  const directory = (): string => {
    mkdirSync(path("directory.yaml"), { recursive: true });
    return "directory.yaml";
  };
  test.each([
    ["that is missing", () => "missing.yaml", "cannot be read: there is no such file; name a file with settings"],
    [
      "below a file",
      () => `${large()}/x.yaml`,
      "cannot be read: a part of its path is a file; name a file with settings",
    ],
    ["that is a directory", directory, "cannot be read: it is a directory; name a file with settings"],
    ["that is too large", large, "is larger than 256 KiB: name a file with settings"],
    ["that never ends", () => "/dev/zero", "is larger than 256 KiB: name a file with settings"],
    ["that is binary", binary, "is not UTF-8 text: save it as plain UTF-8 text"],
  ])("%s", async (_name, named, reason) => {
    const file = named();
    const { status, output, errors } = await run(["serve", "--config", file]);
    expect({ status, output }).toEqual({ status: 2, output: "" });
    expect(errors).toStartWith(`error: the configuration file \`${file}\` ${reason}`);
    expect(errors.trimEnd().split("\n")).toHaveLength(1);
  });
});

test.each([
  ["a list", `- ${secret}\n`, "a list"],
  ["a single value", `nodeKey:${secret}\n`, "a single value"],
])("a file that holds %s is told what settings look like", async (_name, content, kind) => {
  const { status, errors } = await run(["serve", "--config", write("other.yaml", content)]);
  expect(status).toBe(2);
  expect(errors).toContain(
    `the file other.yaml holds no settings, but ${kind}; write \`name: value\` lines, with a space after the colon\n`,
  );
  expect(errors).not.toContain(secret);
});

test("an empty file, one with a byte order mark and one from a pipe are read", async () => {
  const role = ["--role", "primary"];
  expect((await run(["config", ...role, "--config", write("empty.yaml", "")])).status).toBe(0);
  expect((await run(["config", "--config", write("bom.yaml", "\ufeffrole: primary\r\n")])).output).toStartWith(
    "role: primary\n",
  );
  expect(
    (
      await runProcess(
        ["config", "--config", "/dev/stdin"],
        "role: edge\nprimary: http://a\nnodeKey: 0123456789abcdefg",
      )
    ).output,
  ).toStartWith("role: edge\n");
});
