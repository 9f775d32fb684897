/** `ostiary fmt`: the files that it writes, and its output. The canonical form is tested in `test/polar/format/`. */
import { describe, expect, test } from "bun:test";
import { chmodSync, lstatSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { workspace } from "./workspace.ts";

const { path, read, run, write } = workspace();

const loose = '# who\nactor User{ }\n\n\n\nf( "x" ) ;';
const canonical = '# who\nactor User {}\n\nf("x");\n';
const broken = "actor User {\n";

describe("files", () => {
  test("are rewritten if they are not formatted, and keep their permissions", async () => {
    write("loose.polar", loose);
    chmodSync(path("loose.polar"), 0o640);
    write("canonical.polar", canonical);
    const before = statSync(path("canonical.polar")).ino;
    expect(await run(["fmt", "loose.polar", "canonical.polar"])).toEqual({
      status: 0,
      output: "loose.polar: formatted\n",
      errors: "",
    });
    expect(read("loose.polar")).toBe(canonical);
    expect(statSync(path("loose.polar")).mode & 0o777).toBe(0o640);
    expect(statSync(path("canonical.polar")).ino).toBe(before);
    expect(await run(["fmt", "loose.polar"])).toEqual({
      status: 0,
      output: "loose.polar: in canonical form\n",
      errors: "",
    });
    expect(readdirSync(path(".")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("do not change with --check", async () => {
    write("loose.polar", loose);
    write("canonical.polar", canonical);
    const found = await run(["fmt", "--check", "loose.polar", "canonical.polar"]);
    expect(found).toEqual({ status: 1, output: "loose.polar: not in canonical form\n", errors: "" });
    expect(read("loose.polar")).toBe(loose);
    expect((await run(["fmt", "--check", "canonical.polar"])).status).toBe(0);
  });

  test("with syntax errors do not change, and do not prevent the others", async () => {
    write("loose.polar", loose);
    write("broken.polar", broken);
    const { status, output, errors } = await run(["fmt", "broken.polar", "nowhere.polar", "loose.polar"]);
    expect(status).toBe(1);
    expect(output).toBe("loose.polar: formatted\n");
    expect(errors).toContain("broken.polar:1:12: error: this `{` is never closed [syntax/missing-brace]");
    expect(errors).toContain("nowhere.polar:1:1: error: the file cannot be read: there is no such file");
    expect(read("broken.polar")).toBe(broken);
    expect(read("loose.polar")).toBe(canonical);
  });

  test("with semantic errors are formatted", async () => {
    write("wrong.polar", 'resource R {"a" if "b";}');
    expect((await run(["fmt", "wrong.polar"])).status).toBe(0);
    expect(read("wrong.polar")).toBe('resource R {\n  "a" if "b";\n}\n');
  });

  test("lose a byte order mark and carriage returns; binary files are refused", async () => {
    write("windows.polar", `\ufeff${canonical.replaceAll("\n", "\r\n")}`);
    write("binary.polar", new Uint8Array([0xff, 0xfe, 0x00]));
    write("marked.polar", `\ufeff${canonical}`);
    const { status, output, errors } = await run(["fmt", "windows.polar", "binary.polar", "marked.polar"]);
    expect({ status, output }).toEqual({ status: 1, output: "windows.polar: formatted\nmarked.polar: formatted\n" });
    expect(errors).toContain("binary.polar:1:1: error: the file is not UTF-8 text");
    expect(read("windows.polar")).toBe(canonical);
    expect(read("marked.polar")).toBe(canonical);
  });

  test("are found through links, which stay links", async () => {
    write("target.polar", loose);
    symlinkSync("target.polar", path("link.polar"));
    expect((await run(["fmt", "link.polar"])).output).toBe("link.polar: formatted\n");
    expect(lstatSync(path("link.polar")).isSymbolicLink()).toBe(true);
    expect(read("target.polar")).toBe(canonical);
  });

  test.skipIf(process.getuid?.() === 0)("that cannot be written are reported (skipped for the superuser)", async () => {
    write("mine.polar", loose);
    chmodSync(path("mine.polar"), 0o440);
    const { status, errors } = await run(["fmt", "mine.polar"]);
    expect(status).toBe(1);
    expect(errors).toContain("`mine.polar` cannot be written: permission denied [file/unwritable]");
    expect(read("mine.polar")).toBe(loose);
  });

  test("as JSON", async () => {
    write("loose.polar", loose);
    write("broken.polar", broken);
    const { status, output, errors } = await run(["fmt", "--json", "loose.polar", "broken.polar"]);
    expect({ status, errors }).toEqual({ status: 1, errors: "" });
    expect(JSON.parse(output)).toEqual({
      success: false,
      files: [
        { file: "loose.polar", changed: true, problems: [] },
        {
          file: "broken.polar",
          changed: false,
          problems: [expect.objectContaining({ code: "syntax/missing-brace", line: 1, column: 12 })],
        },
      ],
    });
    expect(JSON.parse((await run(["fmt", "--json", "--check", "loose.polar"])).output)).toEqual({
      success: true,
      files: [{ file: "loose.polar", changed: false, problems: [] }],
    });
  });
});

describe("standard input", () => {
  test("goes to standard output", async () => {
    expect(await run(["fmt"], loose)).toEqual({ status: 0, output: canonical, errors: "" });
    expect(await run(["fmt", "-"], canonical)).toEqual({ status: 0, output: canonical, errors: "" });
    expect(await run(["fmt"])).toEqual({ status: 0, output: "", errors: "" });
  });

  test("with syntax errors gives no output", async () => {
    const { status, output, errors } = await run(["fmt", "--stdin-filename", "draft.polar"], broken);
    expect({ status, output }).toEqual({ status: 1, output: "" });
    expect(errors).toStartWith("draft.polar:1:12: error: this `{` is never closed");
  });

  test("can be checked, and printed as JSON", async () => {
    const checked = await run(["fmt", "--check"], loose);
    expect(checked).toEqual({ status: 1, output: "<stdin>: not in canonical form\n", errors: "" });
    expect(JSON.parse((await run(["fmt", "--json"], loose)).output)).toEqual({
      success: true,
      files: [{ file: "<stdin>", changed: true, problems: [], text: canonical }],
    });
  });

  test("cannot be combined with files", async () => {
    const { status, errors } = await run(["fmt", "-", "loose.polar"]);
    expect(status).toBe(2);
    expect(errors).toContain("`-` means standard input, which cannot be formatted together with files");
  });
});
