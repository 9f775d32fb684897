/** The name of a node for collectors of OpenTelemetry: no two nodes may have the same one. */
import { expect, test } from "bun:test";
import { writeNodeFile } from "../../src/store/directory/data-directory.ts";
import { instanceIdOf } from "../../src/store/directory/instance-id.ts";
import { withDirectory } from "../replication/cluster.ts";

test("a node has its own instance id, also without a configured name", () =>
  withDirectory((directory) => {
    const random = instanceIdOf({ data: directory });
    expect(random).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect([instanceIdOf({ data: directory }), instanceIdOf({})]).toEqual([random, random]);
    writeNodeFile(directory, "node-id", "edge-0a1b2c3d");
    expect(instanceIdOf({ data: directory })).toBe("edge-0a1b2c3d");
    expect(instanceIdOf({ data: directory, nodeId: "eu-1" })).toBe("eu-1");
    return Promise.resolve();
  }));
