/**
 * The image on Docker, as its users run it: the printed commands and the compose file of a cluster, with restarts, a `down`
 * without variables, and refusals of all compose files. `docker.full.test.ts` has the other compose files.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { Organization, User } from "../../scripts/example/facts.ts";
import { freePort } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { builtImage } from "./built-image.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { clientOf, freePorts, isInState, secrets, useDocker, words, type Environment } from "./on-docker.ts";

const files = [...new Bun.Glob("*.yaml").scanSync(join(projectRoot, "compose"))].toSorted();

describe("on Docker", () => {
  const { docker, compose, withLogs, running, areHealthy } = useDocker();

  type Ports = readonly [number, number, number];

  const withPorts = (commands: string, ports: Ports): string =>
    commands.replaceAll(/127\.0\.0\.1:808([012])\b/g, (_, index: string) => `127.0.0.1:${must(ports[Number(index)])}`);

  /** Runs commands that publish the ports from 8080 on, with free ports instead. Returns the ports. */
  async function runCommands(commands: string, environment: Environment): Promise<Ports> {
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    await docker().run(["sh", "-e", "-c", withPorts(commands, ports)], { environment });
    return ports;
  }

  /** Runs the commands that follow in the manual. The last one asks an edge, which may not have the fact yet. */
  async function askNodes(commands: string, ports: Ports, adminKey: string): Promise<void> {
    const PATH = `${join(projectRoot, "dist")}:${must(process.env["PATH"])}`;
    const lines = withPorts(commands, ports).trimEnd().split("\n");
    const question = must(lines.pop());
    const script = [`cd "${projectRoot}"`, ...lines, `until ${question}; do sleep 0.1; done`].join("\n");
    const printed = await docker().run(["sh", "-e", "-c", script], {
      environment: { PATH, OSTIARY_ADMIN_KEY: adminKey },
    });
    expect(printed).toEndWith("\nAllowed");
  }

  test("the commands that scripts/image prints start a primary and an edge", async () => {
    const commands = must(/^ {2}docker network create ostiary$.*serve --role edge$/ms.exec(await builtImage())?.[0]);
    const { OSTIARY_NODE_KEY, OSTIARY_ADMIN_KEY } = secrets();
    const [primary, edge] = await runCommands(commands, { OSTIARY_NODE_KEY, OSTIARY_ADMIN_KEY });
    await isInState(edge, "LIVE");
    await loadExample(clientOf(primary, OSTIARY_ADMIN_KEY));
    await expectAnswers(edge, OSTIARY_ADMIN_KEY);
  }, 120_000);

  test("the commands of the manual start three nodes, which keep their data over restarts", async () => {
    const page = readFileSync(join(projectRoot, "appliance", "manual", "deployment.md"), "utf8");
    const [, block = "", nextBlock = ""] = must(
      /^```sh\n(docker network create.*?)^```$.*?^```sh\n(.*?)^```$/ms.exec(page),
    );
    const ports = await runCommands(block, {});
    const [primary, edge, fallback] = ports;
    const variables = await docker().docker(
      "inspect",
      "--format",
      "{{range .Config.Env}}{{println .}}{{end}}",
      "primary",
    );
    const adminKey = must(/^OSTIARY_ADMIN_KEY=(.*)$/m.exec(variables)?.[1]);
    await isInState(edge, "LIVE");
    await askNodes(nextBlock, ports, adminKey);
    const client = clientOf(primary, adminKey);
    await client.delete(["has_role", User("ann"), "owner", Organization("acme")]);
    await loadExample(client);
    await eventually(async () => (await healthOn(fallback)).ok, "the fallback has a copy with a policy");
    for (const port of [primary, edge]) await expectAnswers(port, adminKey);
    await docker().docker("restart", "primary", "edge", "fallback");
    await isInState(edge, "LIVE");
    for (const port of [primary, edge, fallback]) await expectAnswers(port, adminKey);
    await areHealthy(3);
  }, 150_000);

  test.each(files)("compose/%s starts no node without its variables, and other commands need none", async (file) => {
    const refusal = await compose(file, {}, "up", "--detach").catch(String);
    expect(refusal).toContain(`service "check-variables" didn't complete successfully`);
    expect(await running()).toEqual([]);
    expect(await compose(file, {}, "logs", "check-variables")).toMatch(/OSTIARY_(?:ADMIN|NODE)_KEY/);
    expect(await compose(file, {}, "ps", "--all")).toContain("Exited");
    await compose(file, {}, "down", "--volumes");
    expect(await docker().containers()).toEqual([]);
  });

  test(
    "compose/one-node.yaml becomes compose/cluster.yaml and back, with its data",
    withLogs("cluster.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT", "FALLBACK_PORT");
      const { PRIMARY_PORT: primary, EDGE_A_PORT: edgeA, EDGE_B_PORT: edgeB, FALLBACK_PORT: fallback } = ports;
      const variables = { ...all, ...words(ports) };
      const client = clientOf(primary, all.OSTIARY_ADMIN_KEY);
      const expectAllAnswer = async (...nodes: readonly number[]): Promise<void> => {
        for (const port of nodes) await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
      };
      await compose("one-node.yaml", variables, "up", "--detach");
      await isInState(primary, "PRIMARY");
      await loadExample(client);

      // Ends when all containers are healthy.
      await compose("cluster.yaml", variables, "up", "--detach", "--wait");
      await expectAllAnswer(primary, edgeA, edgeB, fallback);

      await compose("cluster.yaml", {}, "restart");
      for (const port of [edgeA, edgeB]) await isInState(port, "LIVE");
      await expectAllAnswer(primary, edgeA, edgeB, fallback);

      // The broker ends, and Docker starts it again.
      await compose("cluster.yaml", {}, "exec", "-T", "mosquitto", "/bin/sh", "-c", "kill 1");
      await client.insert(["has_role", User("ann"), "owner", Organization("initech")]);
      const edge = clientOf(edgeB, all.OSTIARY_ADMIN_KEY);
      const isKnown = () => edge.authorize(User("ann"), "delete", Organization("initech"));
      await eventually(isKnown, "the edge has the write");
      const usesBroker = async (): Promise<boolean> =>
        (await healthOn(edgeB)).following === "it gets events from a broker";
      await eventually(usesBroker, "the edge uses the broker again");

      await compose("one-node.yaml", variables, "up", "--detach", "--remove-orphans");
      await isInState(primary, "PRIMARY");
      await expectAllAnswer(primary);
      expect((await running()).map(({ Names }) => Names)).toEqual([["/ostiary-primary-1"]]);
      await compose("one-node.yaml", {}, "down", "--volumes");
      expect(await running()).toEqual([]);
    }),
    240_000,
  );
});
