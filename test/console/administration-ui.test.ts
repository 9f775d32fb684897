/** What the screen Administration decides without a browser: the requests of keys, sizes, and the download of a backup. */
import { describe, expect, test } from "bun:test";
import { formatBytes } from "../../src/console/ui/administration/bytes.ts";
import {
  BrokenDownloadError,
  type DownloadProgress,
  readDownload,
} from "../../src/console/ui/administration/download.ts";
import { keyRequestOf, namesIn } from "../../src/console/ui/administration/key-request.ts";
import { admin, withPrimary } from "../http/api.ts";

const fields = { name: " web ", role: "read", expires: "", predicates: "", types: "" } as const;

describe("the request of a key", () => {
  test("has a role, or a grant if there are limits", () => {
    expect(keyRequestOf(fields)).toEqual({ name: "web", role: "read" });
    expect(keyRequestOf({ ...fields, expires: "90d" })).toEqual({
      name: "web",
      grant: { role: "read", expires: "90d" },
    });
    expect(keyRequestOf({ ...fields, role: "write", predicates: "has_role, has_relation", types: " User" })).toEqual({
      name: "web",
      grant: { role: "write", only_predicates: ["has_role", "has_relation"], only_types: ["User"] },
    });
    // The fields are hidden for other roles, and what was typed before does not count.
    expect(keyRequestOf({ ...fields, role: "admin", predicates: "has_role" })).toEqual({ name: "web", role: "admin" });
    expect(namesIn(" , ")).toEqual([]);
  });

  test("is one that the node accepts", () =>
    withPrimary(async ({ call }) => {
      const restricted = { ...fields, role: "write", expires: "2099-01-31T00:00:00.000Z", types: "User" } as const;
      for (const each of [fields, restricted]) {
        const { status, json } = await call("POST", "/api/keys", { body: keyRequestOf(each) });
        expect([status, json]).toEqual([200, expect.objectContaining({ name: "web", role: each.role })]);
      }
    }));
});

test("sizes are texts", () => {
  const sizes = [0, 999, 1000, 23_456_789, 5e9, 7e15];
  expect(sizes.map(formatBytes)).toEqual(["0 bytes", "999 bytes", "1 kB", "23.5 MB", "5 GB", "7,000 TB"]);
});

describe("the download of a backup", () => {
  test("has its size before it is complete, and the name that the node gives", () =>
    withPrimary(async ({ url }) => {
      const response = await fetch(`${url}/api/backup`, { headers: admin });
      const seen: DownloadProgress[] = [];
      const { file, name, received, size } = await readDownload(response, "none", (progress) => seen.push(progress));
      expect(name).toMatch(/^test-\d+\.backup$/);
      expect([file.size, size]).toEqual([received, received]);
      expect(seen[0]?.size).toBe(received);
      expect(seen.at(-1)?.received).toBe(received);
    }));

  test("that ends early is broken", async () => {
    const response = new Response("abc", { headers: { "Ostiary-Size": "4" } });
    await expect(readDownload(response, "x", () => {})).rejects.toThrow(BrokenDownloadError);
    const unknown = await readDownload(new Response("abc"), "x", () => {});
    expect([unknown.name, unknown.received]).toEqual(["x", 3]);
  });
});
