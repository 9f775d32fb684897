/** A process without free file descriptors: operations that need one are refused, and the node continues. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { programPath } from "../e2e/program.ts";
import { admit, ask, inDirectory, loadPolicy, mayRead } from "./node.ts";

test(
  "a worker that cannot start does not end its node",
  () =>
    inDirectory(async ({ node: nodeIn }) => {
      const node = await nodeIn();
      await node.start();
      expect((await loadPolicy(node)).status).toBe(200);
      expect((await admit(node, "ann")).status).toBe(200);
      const highest = Math.max(...readdirSync(`/proc/${node.pid}/fd`).map(Number));
      const limit = (soft: number): void => {
        const { success } = Bun.spawnSync([programPath("prlimit"), "--pid", String(node.pid), `--nofile=${soft}:`]);
        expect(success).toBe(true);
      };
      // A worker needs several: each of them is the missing one in turn.
      const statuses: number[] = [];
      for (let spare = 1; spare <= 40; spare += 6) {
        limit(highest + 1 + spare);
        statuses.push((await ask(node, "GET", "/api/backup")).status);
        expect({ spare, running: node.running, exits: node.exits }).toEqual({ spare, running: true, exits: [] });
      }
      expect(statuses[0]).toBe(503);
      limit(1024);
      expect((await ask(node, "GET", "/api/backup")).status).toBe(200);
      expect(await mayRead(node, "ann")).toBe(true);
      expect((await admit(node, "bob")).status).toBe(200);
      expect(node.exits).toEqual([]);
    }),
  60_000,
);
