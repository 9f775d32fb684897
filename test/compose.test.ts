/** The settings in the compose files are valid. The end-to-end tests run the containers. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { projectRoot } from "../scripts/built-binary.ts";
import { loadConfig } from "../src/config/load.ts";

const folder = join(projectRoot, "compose");
const files = [...new Bun.Glob("*.yaml").scanSync(folder)].toSorted();

const composeSchema = z.object({
  services: z.record(
    z.string(),
    z.object({ command: z.array(z.string()).optional(), environment: z.record(z.string(), z.string()).optional() }),
  ),
});

/** The exported variables of the user. */
const exported: Readonly<Record<string, string>> = {
  OSTIARY_NODE_KEY: "0123456789abcdef0123456789abcdef",
  OSTIARY_ADMIN_KEY: "e_default_admin_0123456789abcdef0123456789abcdef",
  BROKER_PRIMARY_PASSWORD: "primary-password",
  BROKER_EDGE_PASSWORD: "edge-password",
};

const substituted = (text: string): string =>
  text.replaceAll(/\$\{(\w+)(?::-([^}]*))?(?::\?[^}]*)?\}/g, (_match, name: string, standard?: string) => {
    return exported[name] ?? standard ?? "";
  });

test("there are compose files", () => expect(files).toContain("two-brokers.yaml"));

// Compose files have anchors, which configuration files must not have.
describe.each(files)("compose/%s", (file) => {
  const { services } = composeSchema.parse(Bun.YAML.parse(readFileSync(join(folder, file), "utf8")));
  const nodes = Object.entries(services).filter(([, { command }]) => command?.[0] === "serve");

  test("has nodes", () => expect(nodes.length).toBeGreaterThan(0));

  test.each(nodes)("%s starts", (_name, { command = [], environment = {} }) => {
    const values = Object.entries(environment).map(([name, value]) => [name, substituted(value)] as const);
    const { config, problems } = loadConfig({
      environment: Object.fromEntries(values),
      flags: { role: command[2] ?? "" },
    });
    expect(problems).toEqual([]);
    for (const broker of config?.broker ?? []) {
      const host = /^\w+:\/\/([^:]+)/.exec(broker)?.[1];
      if (host !== undefined) expect(Object.keys(services)).toContain(host);
    }
  });
});
