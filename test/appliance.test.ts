/**
 * The files beside the binary agree with it: the reference configuration with the schema, the unit and the image with
 * its settings.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceConfig } from "../scripts/reference-config.ts";
import { loadConfig } from "../src/config/load.ts";
import { describeConfig, isSection, settings, valueAt } from "../src/config/settings.ts";
import { parseYaml } from "../src/runtime/yaml.ts";

const appliance = join(import.meta.dirname, "../appliance");
const referencePath = join(appliance, "ostiary.yaml");

test("the reference configuration has all settings of the schema", () => {
  if (process.env["UPDATE"] === "1" || !existsSync(referencePath)) writeFileSync(referencePath, referenceConfig());
  expect(readFileSync(referencePath, "utf8")).toBe(referenceConfig());
});

test("the reference configuration has exactly the settings, with their defaults", () => {
  const content = parseYaml(readFileSync(referencePath, "utf8"));
  expect(keysOf(content)).toEqual(settings.map(({ name }) => name).toSorted());

  const loaded = loadConfig({ file: { name: "ostiary.yaml", content }, environment: {}, flags: {} });
  expect(loaded.problems).toEqual([]);
  if (loaded.config === undefined) throw new Error("not loaded");
  const bare = loadConfig({ environment: {}, flags: { role: "primary" } });
  if (bare.config === undefined) throw new Error("not loaded");
  expect(describeConfig(loaded.config)).toEqual(describeConfig(bare.config));
});

test("the variables of the image and the unit are settings", () => {
  const known: readonly string[] = settings.map(({ variable }) => variable);
  for (const file of ["Containerfile", "ostiary.service"]) {
    const used = readFileSync(join(appliance, file), "utf8").match(/OSTIARY_[A-Z_]+/g) ?? [];
    expect(used.length).toBeGreaterThan(0);
    expect(used.filter((name) => !known.includes(name))).toEqual([]);
  }
});

const analyze = Bun.which("systemd-analyze");

test.skipIf(analyze === null)("systemd accepts the unit and rates it as well confined", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-unit-"));
  try {
    const unit = join(folder, "ostiary.service");
    const text = readFileSync(join(appliance, "ostiary.service"), "utf8");
    // `verify` requires that the program exists.
    writeFileSync(unit, text.replaceAll("/usr/local/bin/ostiary", process.execPath));
    const verified = Bun.spawnSync([analyze ?? "", "verify", unit]);
    expect(verified.stderr.toString()).toBe("");
    expect(verified.exitCode).toBe(0);
    // 0 is perfect, 10 is no protection.
    expect(Bun.spawnSync([analyze ?? "", "security", "--offline=true", "--threshold=20", unit]).exitCode).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function keysOf(content: unknown): string[] {
  if (!isSection(content)) return [];
  return Object.keys(content)
    .flatMap((key) => {
      const inner = valueAt(content, [key]);
      return isSection(inner) ? Object.keys(inner).map((name) => `${key}.${name}`) : [key];
    })
    .toSorted();
}
