/** The time of the newest backup, which an alert compares with the present time. */
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listStoredBackups } from "../../src/replication/backup/stored-backups.ts";
import { watchNewestBackup } from "../../src/replication/backup/newest-backup.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock, type Clock } from "../../src/util/clock.ts";
import { admin } from "../http/api.ts";
import { eventually, withCluster, withDirectory } from "./cluster.ts";

test(
  "it is that of the newest backup with a right MAC, and 0 without one",
  () =>
    withDirectory((directory) =>
      withCluster(async (cluster) => {
        const { node, url } = await cluster.primary();
        const { environment, nodeKeyHashes } = { environment: "test", nodeKeyHashes: must(node.nodeKeyHashes) };
        const looks: (() => void)[] = [];
        const clock: Clock = {
          ...systemClock,
          every(_interval, body) {
            looks.push(body);
            return () => looks.splice(looks.indexOf(body), 1);
          },
        };
        let listings = 0;
        const watched = watchNewestBackup(() => {
          listings++;
          return listStoredBackups({ directory, environment, nodeKeyHashes });
        }, clock);
        const look = (): void => looks.forEach((body) => body());
        const shown = async () => {
          const metrics = await (await fetch(`${url}/metrics`, { headers: admin })).text();
          return /^ostiary_newest_backup_timestamp_seconds .*/m.exec(metrics)?.[0];
        };
        expect(watched.madeMs()).toBeUndefined();
        await eventually(() => expect(watched.madeMs()).toBe(0));
        // The node of this test has no directory.
        expect(await shown()).toBeUndefined();

        const beginMs = Date.now();
        const backup = new Uint8Array(await (await fetch(`${url}/api/backup`, { headers: admin })).arrayBuffer());
        writeFileSync(join(directory, "monday.backup"), backup);
        look();
        await eventually(() => expect(watched.madeMs()).toBeGreaterThanOrEqual(beginMs));
        expect(watched.madeMs()).toBeLessThanOrEqual(Date.now());

        // Two at the same time are one.
        const before = listings;
        look();
        look();
        expect(listings).toBe(before + 1);
        await eventually(() => expect(watched.madeMs()).toBeGreaterThanOrEqual(beginMs));

        const forged = Buffer.from(backup);
        const at = forged.indexOf('"madeMs":') + '"madeMs":'.length;
        forged.write("9", at);
        writeFileSync(join(directory, "monday.backup"), forged);
        await eventually(() => {
          look();
          expect(watched.madeMs()).toBe(0);
        });

        rmSync(directory, { recursive: true });
        look();
        await eventually(() => expect(watched.madeMs()).toBe(0));
        watched.close();
        expect(looks).toEqual([]);
      }),
    ),
  120_000,
);
