/** The settings in the compose files are valid, and none may be missing. `test/containers` runs them. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { projectRoot } from "../scripts/built-binary.ts";
import { loadConfig } from "../src/config/load.ts";
import { must } from "../src/util/assert.ts";

const folder = join(projectRoot, "compose");
const files = [...new Bun.Glob("*.yaml").scanSync(folder)].toSorted();

const composeSchema = z.object({
  name: z.string(),
  services: z.record(
    z.string(),
    z.object({
      entrypoint: z.array(z.string()).optional(),
      command: z.array(z.string()).optional(),
      depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
      environment: z.record(z.string(), z.string()).optional(),
      ports: z.array(z.string()).optional(),
      volumes: z.array(z.string()).optional(),
    }),
  ),
});

type Service = z.infer<typeof composeSchema>["services"][string];

/** The exported variables of the user. */
const exported: Readonly<Record<string, string>> = {
  OSTIARY_NODE_KEY: "0123456789abcdef0123456789abcdef",
  OSTIARY_ADMIN_KEY: "e_default_admin_0123456789abcdef0123456789abcdef",
  BROKER_PRIMARY_PASSWORD: "primary-password",
  BROKER_EDGE_PASSWORD: "edge-password",
};

/** As compose substitutes variables. */
const substituted = (text: string, variables = exported): string =>
  text.replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_match, name: string, standard: string) => variables[name] ?? standard);

/** What a container gets. */
const environmentOf = ({ environment = {} }: Service, variables = exported): Record<string, string> =>
  Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, substituted(value, variables)]));

test("there are compose files", () => expect(files).toContain("two-brokers.yaml"));

const read = (file: string) => composeSchema.parse(Bun.YAML.parse(readFileSync(join(folder, file), "utf8")));

test("the node of one-node.yaml is the primary of cluster.yaml, so that one can become the other", () => {
  const [one, cluster] = [read("one-node.yaml"), read("cluster.yaml")];
  expect(Object.keys(one.services)).toEqual(["check-variables", "primary"]);
  const nodeOf = ({ name, services: { primary } }: typeof one) => {
    const { command, environment = {}, ports, volumes } = must(primary);
    const { OSTIARY_NODE_ID: id, OSTIARY_ADMIN_KEY: adminKey } = environment;
    return { name, command, id, adminKey, ports, volumes };
  };
  expect(nodeOf(one)).toEqual(nodeOf(cluster));
  expect(new Set(files.filter((file) => file !== "one-node.yaml").map((file) => read(file).name)).size).toBe(
    files.length - 1,
  );
});

test("the members of etcd in failover.yaml know each other, and nodes keep the lease there", () => {
  const { services } = read("failover.yaml");
  const members = Object.keys(services).filter((name) => name.startsWith("etcd-"));
  for (const name of members) {
    const { environment = {} } = must(services[name]);
    expect(environment["ETCD_NAME"]).toBe(name);
    expect(environment["ETCD_ADVERTISE_CLIENT_URLS"]).toBe(`http://${name}:2379`);
    const peer = must(environment["ETCD_INITIAL_ADVERTISE_PEER_URLS"]);
    expect(must(environment["ETCD_INITIAL_CLUSTER"]).split(",")).toContain(`${name}=${peer}`);
  }
  const lease = `etcd://${members.map((name) => `${name}:2379`).join(",")}/ostiary`;
  for (const name of ["node-a", "node-b", "node-c"])
    expect(services[name]?.environment).toMatchObject({ OSTIARY_FAILOVER: lease, OSTIARY_ACK: "edges:1" });
});

/** Returns the error of the service with these exported variables: of `ostiary config`, or of a script. */
function runCheck(service: Service, variables: Readonly<Record<string, string>>): string {
  const { entrypoint, command = [] } = service;
  const environment = environmentOf(service, variables);
  if (entrypoint === undefined)
    return loadConfig({ environment, flags: { role: command[2] ?? "" } }).problems.join("\n");
  // Compose reads $$ as $.
  const run = Bun.spawnSync([...entrypoint, ...command.map((text) => text.replaceAll("$$", "$"))], {
    env: environment,
  });
  expect(run.success).toBe(run.stderr.length === 0);
  return run.stderr.toString();
}

// Compose files have anchors, which configuration files must not have.
describe.each(files)("compose/%s", (file) => {
  const text = readFileSync(join(folder, file), "utf8");
  const { services } = read(file);
  const nodes = Object.entries(services).filter(([, { command }]) => command?.[0] === "serve");

  test("has nodes", () => expect(nodes.length).toBeGreaterThan(0));

  // `down` would need a variable that compose itself requires, too.
  test("commands of compose need no variable", () => expect(text.match(/(?<!\$)\$\{\w+:?\?/g)).toBeNull());

  test("nothing starts before check-variables has ended", () => {
    const condition = "service_completed_successfully";
    for (const [name, { depends_on }] of Object.entries(services))
      if (name !== "check-variables")
        expect({ name, depends_on }).toEqual({ name, depends_on: { "check-variables": { condition } } });
  });

  test("check-variables ends with an error that names a missing variable", () => {
    const secrets = new Set([...text.matchAll(/\$\{(\w+):-(?:missing)?\}/g)].map(([, name = ""]) => name));
    expect(secrets).toContain("OSTIARY_ADMIN_KEY");
    const check = must(services["check-variables"]);
    expect(runCheck(check, exported)).toBe("");
    for (const name of secrets) {
      const others = Object.fromEntries(Object.entries(exported).filter(([other]) => other !== name));
      expect(runCheck(check, others)).toContain(name);
    }
  });

  test.each(nodes)("%s starts", (_name, service) => {
    const { config, problems } = loadConfig({
      environment: environmentOf(service),
      flags: { role: service.command?.[2] ?? "" },
    });
    expect(problems).toEqual([]);
    const { broker = [], peers = [], primary = [], failover = [] } = config ?? {};
    for (const url of [broker, peers, primary, failover].flat())
      for (const host of url.matchAll(/(?<=\/\/|,)[^:,/]+(?=:)/g)) expect(Object.keys(services)).toContain(host[0]);
  });
});
