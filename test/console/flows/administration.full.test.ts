/** The screen Administration in a real browser: keys, environments, audit log, backup, promotion. */
import * as Bun from "bun";
import { afterAll, describe, expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { freePort } from "../../../scripts/node-process.ts";
import { formatBytes } from "../../../src/console/ui/administration/bytes.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { filterTexts } from "../../../src/console/ui/texts/filters.ts";
import { administrationTexts as words } from "../../../src/console/ui/texts/administration.ts";
import { dialogTexts } from "../../../src/console/ui/texts/dialog.ts";
import { eventually } from "../../replication/cluster.ts";
import { addFilter } from "./browser.ts";
import { flow } from "./flow.ts";

const script = `<script>document.title = "run"</script>`;

async function statusWith(url: string, key: string, path = "/api/whoami", method = "GET"): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(url + path, { method, headers, ...(method !== "GET" && { body: "{}" }) });
  await response.arrayBuffer();
  return response.status;
}

/** The secret that the page shows, once. */
async function shownSecret(page: Page, name: string): Promise<string> {
  const section = page.getByRole("region", { name });
  return (await section.locator("code").textContent()) ?? "";
}

/** Everything that the browser keeps, and where it is. */
async function kept(page: Page): Promise<string> {
  return String(
    await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])"),
  );
}

describe("API keys", () => {
  flow("are created with limits, shown once, rotated and revoked", async (flow) => {
    const tab = await flow.logIn("admin", "administration");
    const { page } = tab;
    const requested: string[] = [];
    page.on("request", (request) => requested.push(request.url()));
    await tab.heading(words.title).waitFor();
    await page.getByLabel(words.keys.fields.name, { exact: true }).fill(script);
    await page.getByLabel(words.keys.fields.role, { exact: true }).selectOption("write");
    await page.getByLabel(words.keys.fields.expires, { exact: true }).selectOption("90d");
    await page.getByLabel(words.keys.fields.predicates).fill("has_role, has_relation");
    await page.getByLabel(words.keys.fields.types).fill("User Organization");
    await page.getByRole("button", { name: words.keys.create }).click();
    const title = words.secret.title(script);
    const secret = await shownSecret(page, title);
    expect(await statusWith(flow.url, secret)).toBe(200);
    expect(await statusWith(flow.url, secret, "/api/keys")).toBe(403);
    const row = page.getByRole("row").filter({ hasText: script });
    await row.getByText(words.keys.onlyPredicates("has_relation, has_role")).waitFor();
    await row.getByText(words.keys.onlyTypes("Organization, User")).waitFor();
    await tab.expectAccessible();
    // The secret is on the page until it was copied, and nowhere else.
    expect(await kept(page)).not.toContain(secret);
    expect(requested.join()).not.toContain(secret);
    await page.getByRole("button", { name: words.secret.done }).click();
    await page.getByText(secret).waitFor({ state: "detached" });
    expect(await page.content()).not.toContain(secret);

    await page.getByRole("button", { name: words.keys.rotateOf(script) }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(words.keys.grace).selectOption("0");
    await tab.expectAccessible();
    await dialog.getByRole("button", { name: words.keys.rotate }).click();
    await dialog.waitFor({ state: "detached" });
    const second = await shownSecret(page, title);
    expect([await statusWith(flow.url, secret), await statusWith(flow.url, second)]).toEqual([401, 200]);

    await page.getByRole("button", { name: words.keys.revokeOf(script) }).click();
    await dialog.getByText(words.keys.revokeHelp).waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    expect(await statusWith(flow.url, second)).toBe(200);
    await page.getByRole("button", { name: words.keys.revokeOf(script) }).click();
    await dialog.getByRole("button", { name: words.keys.revoke }).click();
    await row.waitFor({ state: "detached" });
    expect(await statusWith(flow.url, second)).toBe(401);
    // The node says why it refuses.
    await page.getByRole("button", { name: words.keys.revokeOf("admin key") }).click();
    await dialog.getByText(words.keys.revokeOwn).waitFor();
    await dialog.getByRole("button", { name: dialogTexts.cancel }).click();
    expect(requested.filter((url) => url.includes("?")).join()).not.toContain("e_test");
  });
});

describe("environments", () => {
  flow("are created, opened, renamed, deleted and restored; their keys administer only them", async (flow) => {
    const tab = await flow.logIn("admin", "administration/environments");
    const { page } = tab;
    const { fields } = words.environments;
    await tab.heading(words.partTitles.environments).waitFor();
    await page.getByLabel(fields.id, { exact: true }).fill("Not allowed");
    await page.getByRole("button", { name: words.environments.create }).click();
    await page.getByRole("alert").filter({ hasText: "must be" }).waitFor();
    await page.getByLabel(fields.id, { exact: true }).fill("staging");
    await page.getByLabel(fields.name, { exact: true }).fill(script);
    await page.getByLabel(fields.copyOf).selectOption("test");
    await page.getByRole("button", { name: words.environments.create }).click();
    const secret = await shownSecret(page, words.environments.created("staging"));
    expect(await statusWith(flow.url, secret)).toBe(200);
    const row = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "staging" }) });
    await row.getByText(script, { exact: true }).waitFor();
    await tab.expectAccessible();

    await page.getByRole("button", { name: words.environments.renameOf("staging") }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(fields.name).fill("Staging");
    await dialog.getByRole("button", { name: words.environments.rename }).click();
    await row.getByText("Staging", { exact: true }).waitFor();
    await page.getByRole("button", { name: words.environments.open("staging") }).click();

    // An administrator of the copy sees its keys, and nothing of the appliance.
    const parts = page.getByRole("navigation", { name: words.parts });
    await parts.getByRole("link", { name: words.partTitles.keys }).waitFor();
    await tab.until(`document.querySelector(".environment").value === "staging"`);
    await tab.open("administration/backup");
    await tab.heading(words.partTitles.backup).waitFor();
    expect(await parts.getByRole("link").allTextContents()).toEqual([
      ...[words.partTitles.keys, words.partTitles.audit, words.partTitles.backup],
    ]);
    for (const path of ["/api/environments", "/api/promote"])
      expect([path, await statusWith(flow.url, secret, path)]).toEqual([path, 403]);
    await page.getByRole("button", { name: texts.account.logOut }).click();

    await tab.open("administration/environments");
    await page.getByRole("button", { name: words.environments.deleteOf("staging") }).click();
    const confirm = dialog.getByRole("button", { name: words.environments.delete });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel(dialogTexts.type("staging")).fill("staging");
    await tab.expectAccessible();
    await confirm.click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: words.environments.restoreOf("staging") }).click();
    await dialog.getByRole("button", { name: words.environments.restore }).click();
    await page.getByRole("button", { name: words.environments.deleteOf("staging") }).waitFor();
  });
});

/** Never answers the first request for a backup, so that there is time to cancel it. */
function proxyThatHolds(url: string) {
  const end = Promise.withResolvers<void>();
  let backups = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers, signal } = request;
      if (pathname === "/api/backup" && ++backups === 1) {
        await end.promise;
        return new Response(null, { status: 502 });
      }
      return fetch(url + pathname + search, { method, headers, signal, redirect: "manual", decompress: false });
    },
  });
  const stop = async (): Promise<void> => {
    end.resolve();
    await server.stop(true);
  };
  return { url: `http://127.0.0.1:${server.port}`, stop };
}

const backupDirectory = mkdtempSync(join(tmpdir(), "ostiary-backups-"));
afterAll(() => rmSync(backupDirectory, { recursive: true, force: true }));

describe("the audit log and backups", () => {
  flow(
    "a backup is downloaded with progress, cancelled on demand, and recorded; stored ones are listed",
    async (flow) => {
      const proxy = proxyThatHolds(flow.url);
      try {
        const tab = await flow.logIn("admin", "administration/backup", { url: proxy.url });
        const { page } = tab;
        await tab.heading(words.partTitles.backup).waitFor();
        await page.getByRole("button", { name: words.backup.download }).click();
        await page.getByText(words.backup.waiting).waitFor();
        await page.getByRole("button", { name: words.backup.cancel }).click();
        await page.getByText(words.backup.cancelled).waitFor();
        const downloading = page.waitForEvent("download");
        const requested = page.waitForRequest((request) => request.url().includes("/api/backup"));
        await page.getByRole("button", { name: words.backup.download }).click();
        const download = await downloading;
        // The key is in a header only.
        expect((await requested).url()).toBe(`${proxy.url}/api/backup`);
        expect(download.url()).toMatch(/^blob:/);
        const content = readFileSync(await download.path());
        const bytes = content.length;
        expect(bytes).toBeGreaterThan(1000);
        const name = download.suggestedFilename();
        expect(name).toMatch(/^test-\d+\.backup$/);
        await page.getByText(words.backup.done(name, formatBytes(bytes))).waitFor();
        await page.getByText(words.backup.noneStored).waitFor();
        writeFileSync(join(backupDirectory, `${script.replaceAll("/", "")}.backup`), content);
        await page.reload();
        await page.getByRole("rowheader", { name: script.replaceAll("/", "") }).waitFor();
        await page.getByText(words.backup.origins.verified).waitFor();
        await tab.expectAccessible();

        await page.getByRole("link", { name: words.partTitles.audit }).click();
        await tab.heading(words.partTitles.audit).waitFor();
        await page.getByRole("rowheader", { name: "backup.download" }).first().waitFor();
        await tab.expectAccessible();
        await addFilter(tab, words.audit.fields.action, "key.create");
        await page.getByRole("rowheader", { name: "backup.download" }).first().waitFor({ state: "detached" });
        await page.getByRole("rowheader", { name: "key.create" }).first().waitFor();
        // The filters are in the address, and so is an entry, in a drawer.
        expect(page.url()).toEndWith("#/administration/audit?action=key.create");
        await page.getByRole("link", { name: "key.create" }).first().click();
        const drawer = page.getByRole("dialog", { name: words.audit.one });
        await drawer.getByText("admin key", { exact: false }).first().waitFor();
        await drawer.getByText(/^\d+ \w+ \d+, [\d:.]+$/).waitFor();
        await tab.expectAccessible();
        expect(page.url()).toMatch(/#\/administration\/audit\/[^?]+\?action=key\.create$/);
        await page.reload();
        await drawer.waitFor();
        await page.keyboard.press("Escape");
        await drawer.waitFor({ state: "detached" });
        expect(page.url()).toEndWith("#/administration/audit?action=key.create");
        await page
          .getByLabel(filterTexts.condition, { exact: true })
          .selectOption({ label: words.audit.fields.result });
        await page.getByLabel(words.audit.fields.result, { exact: true }).selectOption("failed");
        await page.getByRole("button", { name: filterTexts.add, exact: true }).click();
        await page.getByText(words.audit.none).waitFor();
      } finally {
        await proxy.stop();
      }
    },
    { flags: { backupDirectory } },
  );
});

const edgePort = String(await freePort());
const quick = { "advanced.peerCheckIntervalMs": "200ms", "advanced.pollIntervalMs": "200ms" };

describe("a promotion", () => {
  flow(
    "is previewed, and done after a typed confirmation",
    async (flow) => {
      const url = await flow.edge("edge-a", { port: edgePort, peers: flow.url, ...quick });
      const primary = await flow.logIn("admin", "administration/promotion");
      await primary.page.getByText("this is a primary, only an edge can be promoted").waitFor();
      await primary.expectAccessible();
      expect(await primary.page.getByRole("button", { name: words.promotion.promote("primary") }).count()).toBe(0);

      const tab = await flow.logIn("admin", "administration/promotion", { url });
      const { page } = tab;
      const { modes } = words.promotion;
      await page.getByText(words.promotion.possible).waitFor();
      await page.getByLabel(modes.plain).check();
      await page.getByText(`the primary ${flow.url} is alive`).waitFor();
      await page.getByLabel(modes.force).check();
      await page.getByText("are lost").first().waitFor();
      await tab.expectAccessible();
      await page.getByLabel(modes.graceful).check();
      await page.getByText(words.promotion.possible).waitFor();
      await tab.screenshot("promotion");
      await page.getByRole("button", { name: words.promotion.promote("edge-a") }).click();
      const dialog = page.getByRole("dialog");
      const confirm = dialog.getByRole("button", { name: words.promotion.promoteConfirm });
      expect(await confirm.isDisabled()).toBe(true);
      await dialog.getByLabel(dialogTexts.type("edge-a")).fill("edge-a");
      await tab.expectAccessible();
      await confirm.click();
      await page.getByText(/This node is the primary from offset/).waitFor({ timeout: 60_000 });
      await page.getByText("this is a primary, only an edge can be promoted").waitFor();
      await eventually(async () =>
        expect(await (await fetch(`${flow.url}/healthcheck`)).json()).toMatchObject({ role: "edge", node: "primary" }),
      );
    },
    { flags: { peers: `http://127.0.0.1:${edgePort}`, ...quick } },
  );
});

describe("keys that are no administrators'", () => {
  flow("see no control of the administration, and the node refuses its requests", async (flow) => {
    for (const role of ["read", "write"] as const) {
      const tab = await flow.logIn(role, "administration");
      const { page } = tab;
      await page.getByText(texts.screens.forbidden(texts.screens.administration, "admin", role)).waitFor();
      expect(await page.getByRole("link", { name: texts.screens.administration }).count()).toBe(0);
      for (const part of Object.keys(words.partTitles)) {
        await tab.open(`administration/${part}`);
        await page.getByText(texts.screens.forbidden(texts.screens.administration, "admin", role)).waitFor();
        expect(await page.locator("main button").allTextContents()).toEqual([texts.screens.otherKey]);
      }
      const key = await flow.key(role);
      for (const [method, path] of adminRoutes)
        expect([role, method, path, await statusWith(flow.url, key, path, method)]).toEqual([role, method, path, 403]);
    }
  });
});

const adminRoutes = [
  ["GET", "/api/keys"],
  ["POST", "/api/keys"],
  ["POST", "/api/keys/admin/rotate"],
  ["DELETE", "/api/keys/admin"],
  ["GET", "/api/environments"],
  ["POST", "/api/environments"],
  ["PATCH", "/api/environments/x"],
  ["DELETE", "/api/environments/x"],
  ["POST", "/api/environments/x/restore"],
  ["GET", "/api/audit"],
  ["GET", "/api/backup"],
  ["GET", "/api/backups"],
  ["GET", "/api/promote"],
  ["POST", "/api/promote"],
] as const;
