/** The licenses of everything inside the program, and its bill of materials. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { licensesText, type LicensedComponent } from "../../src/cli/licenses.ts";
import { buildTargets } from "../../scripts/build-targets.ts";
import { builtBinary, projectRoot, projectVersion } from "../../scripts/built-binary.ts";
import { licenseOf, registryDigests } from "../../scripts/licenses/bundled-packages.ts";
import { standardText } from "../../scripts/licenses/standard-texts.ts";
import { debianCopyright } from "../../scripts/packaging/debian-copyright.ts";
import { sbomOf } from "../../scripts/sbom.ts";

const binary = await builtBinary();
const printed = (...words: string[]): string => Bun.spawnSync([binary, ...words]).stdout.toString();
const components = JSON.parse(printed("licenses", "--json")) as readonly LicensedComponent[];
const named = (name: string): LicensedComponent | undefined => components.find((each) => each.name === name);

describe("the licenses of the program", () => {
  test("are those of Ostiary, of Bun with its libraries, and of the bundled packages", () => {
    expect(components[0]).toMatchObject({ name: "ostiary", version: projectVersion(), license: "Apache-2.0" });
    expect(named("Bun")).toMatchObject({ version: Bun.version, license: "MIT", partOf: "runtime" });
    expect(named("SQLite")?.version).toMatch(/^3\.\d+\.\d+$/);
    expect(named("JavaScriptCore")).toMatchObject({ license: "LGPL-2.0-or-later AND BSD-2-Clause" });
    expect(named("JavaScriptCore")?.text).toContain("changed and linked again");
    // A copy, because matchers replace what they match.
    expect({ ...named("aedes") }).toMatchObject({
      license: "MIT",
      partOf: "program",
      purl: expect.stringMatching(/^pkg:npm\/aedes@\d/),
      sha512: expect.stringMatching(/^[0-9a-f]{128}$/),
    });
    // Of the console, and without a file of its own.
    expect(named("preact")?.license).toBe("MIT");
    expect(named("drizzle-orm")?.text).toContain("Version 2.0, January 2004");
  });

  test("leave out packages of tests, and have a text each", () => {
    for (const name of ["fast-check", "playwright-core", "oxlint", "oso-cloud"]) expect(named(name)).toBeUndefined();
    expect(components.filter(({ text }) => text.length < 100).map(({ name }) => name)).toEqual([]);
    expect(
      components.filter(({ text }) => /<(?:year|owner|copyright holders?)>/i.test(text)).map(({ name }) => name),
    ).toEqual([]);
    expect(new Set(components.map(({ purl }) => purl)).size).toBe(components.length);
    const packages = components.filter(({ purl }) => purl.startsWith("pkg:npm/"));
    expect(packages.length).toBeGreaterThan(40);
    expect(packages.filter(({ sha512 }) => sha512 === null)).toEqual([]);
  });

  test("are printed as a list, and each text once", () => {
    const text = printed("licenses");
    expect(text).toBe(licensesText(components));
    expect(text).toStartWith(`ostiary`);
    for (const { name } of components) expect(text).toContain(name);
    expect(text.match(/END OF TERMS AND CONDITIONS\n\n {3}APPENDIX/g)?.length ?? 0).toBeLessThan(components.length / 4);
  });

  test.each([
    [{ name: "x" }, "the package x has no license that SPDX knows: ``"],
    [{ name: "x", license: "SEE LICENSE IN EULA" }, "the package x has no license that SPDX knows"],
    [{ name: "x", license: "UNLICENSED" }, "the package x has no license that SPDX knows"],
  ])("of a package with %j end the build", (manifest, message) => {
    expect(() => licenseOf(manifest)).toThrow(message);
  });

  test("can be an expression, or of an old form", () => {
    expect(licenseOf({ name: "x", license: "(MIT OR Apache-2.0)" })).toBe("(MIT OR Apache-2.0)");
    expect(licenseOf({ name: "x", license: { type: "ISC" } })).toBe("ISC");
    const text = standardText("MIT AND Zlib", "Ann", "x");
    expect(text).toStartWith("Copyright: Ann\n");
    expect(text).toContain("Permission is hereby granted, free of charge");
    expect(text).toContain("without any express or implied");
  });

  test("have the digests of the lock file", () => {
    const lock = `    "a": ["a@1.0.0", "", {}, "sha512-AAE="],\n    "b/@c/d": ["@c/d@2.0.0", "", { "x": ["y"] }, "sha512-/w=="],\n`;
    expect([...registryDigests(lock)]).toEqual([
      ["a@1.0.0", "0001"],
      ["@c/d@2.0.0", "ff"],
    ]);
  });

  test("are a machine-readable copyright file in the Debian package", () => {
    const text = debianCopyright(components);
    expect(text).toStartWith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n");
    const paragraphs = text.trim().split("\n\n").slice(1);
    const used = paragraphs.flatMap(
      (each) => /^Files: [^]*^License: (.*)$/m.exec(each)?.[1]?.split(/ and | or /) ?? [],
    );
    const explained = paragraphs.flatMap((each) => /^License: (\S+)\n ./.exec(each)?.[1] ?? []);
    expect(used.filter((id) => !explained.includes(id.replaceAll(/[()]/g, "")))).toEqual([]);
    expect(used.length).toBeGreaterThan(components.length - 1);
  });
});

describe("the bill of materials", () => {
  const options = {
    components,
    file: "ostiary-0.1.0-linux-x64",
    sha256: "0".repeat(64),
    commit: "1".repeat(40),
    commitSeconds: 1_780_000_000,
  };

  test("is valid CycloneDX", () => {
    const folder = join(projectRoot, "node_modules/@cyclonedx/cyclonedx-library/res/schema");
    const schema = (name: string): Record<string, unknown> =>
      JSON.parse(readFileSync(join(folder, `${name}.SNAPSHOT.schema.json`), "utf8")) as Record<string, unknown>;
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    // The schemas of this package refer to each other by file name.
    for (const name of ["spdx", "jsf-0.82", "cryptography-defs"])
      ajv.addSchema({ ...schema(name), $id: `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json` });
    const validate = ajv.compile(schema("bom-1.6"));
    validate(JSON.parse(sbomOf(options)));
    expect(validate.errors ?? []).toEqual([]);
    validate({ ...(JSON.parse(sbomOf(options)) as object), specVersion: 6 });
    expect(validate.errors ?? []).not.toEqual([]);
  });

  test("names every component with its version, license and package URL", () => {
    const document = JSON.parse(sbomOf(options)) as { readonly components: readonly Record<string, unknown>[] };
    expect(document.components.map(({ purl }) => purl)).toEqual(components.slice(1).map(({ purl }) => purl));
    expect(document.components.find(({ name }) => name === "Bun")).toMatchObject({
      type: "platform",
      version: Bun.version,
      licenses: [{ license: { id: "MIT" } }],
    });
  });

  test("is the same for the same commit and file, and another one otherwise", () => {
    const serial = (changed: object): unknown =>
      (JSON.parse(sbomOf({ ...options, ...changed })) as Record<string, unknown>)["serialNumber"];
    expect(sbomOf(options)).toBe(sbomOf({ ...options }));
    expect(serial({})).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(serial({ commit: "2".repeat(40) })).not.toBe(serial({}));
    expect(serial({ file: "ostiary-0.1.0-linux-arm64" })).not.toBe(serial({}));
  });
});

test("there is a binary for each platform that the manual names, and no other", () => {
  const page = readFileSync(join(projectRoot, "appliance", "manual", "install.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+-\w+(?:-\w+)?)` +\| (.*?) +\| (.*?) +\|$/gm)];
  expect(rows.map(([, name, platform, tested]) => ({ name, platform, tested }))).toEqual(
    buildTargets.map(({ name, platform, tested = "nothing" }) => ({ name, platform, tested })),
  );
});
