/** The console in a real browser: the login, the overview, and what holds of all screens. */
import * as Bun from "bun";
import { beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { texts } from "../../../src/console/ui/texts.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { type Api, wildcardPolicy, withPrimary } from "../../http/api.ts";
import { adminKey } from "../../replication/cluster.ts";
import { builtConsole } from "../built-console.ts";
import { accessibilityProblems, hasBrowser, openPage } from "./browser.ts";

beforeAll(builtConsole);

const timeoutMs = 60_000;

async function logIn(page: Page, url: string, key: string): Promise<void> {
  await page.goto(`${url}/console/`);
  await page.getByLabel(loginTexts.credential).fill(key);
  await page.getByRole("button", { name: loginTexts.submit }).click();
}

function heading(page: Page, name: string) {
  return page.getByRole("heading", { level: 1, name });
}

async function prepare({ call }: Api): Promise<void> {
  await call("POST", "/api/policy", { body: { src: wildcardPolicy } });
  const question = { actor_type: "User", actor_id: "a", action: "read", resource_type: "Org", resource_id: "acme" };
  for (let count = 0; count < 20; count++) await call("POST", "/api/authorize", { body: question });
}

describe.skipIf(!hasBrowser)("the console in a browser", () => {
  test(
    "lets a key in, keeps it in the tab only, and forgets it",
    () =>
      withPrimary(async ({ url }) => {
        const { page, problems } = await openPage(url);
        await logIn(page, url, "e_test_wrong_0123456789abcdef0123456789abcdef");
        await page.getByText("this API key is not valid here").waitFor();
        await logIn(page, url, adminKey);
        await heading(page, overviewTexts.title).waitFor();
        expect(page.url()).not.toContain(adminKey);
        const stored = () =>
          page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
        const [local, session, cookie] = JSON.parse(String(await stored())) as [object, Record<string, string>, string];
        expect([local, cookie]).toEqual([{}, ""]);
        expect(Object.values(session).join()).toContain(adminKey);
        await page.reload();
        await heading(page, overviewTexts.title).waitFor();
        const other = await page.context().newPage();
        await other.goto(`${url}/console/`);
        await heading(other, loginTexts.title).waitFor();
        await page.getByRole("button", { name: texts.account.logOut }).click();
        await heading(page, loginTexts.title).waitFor();
        expect(String(await stored())).not.toContain(adminKey);
        expect(problems).toEqual([]);
      }),
    timeoutMs,
  );

  test(
    "shows the node, its problems and its last hour, in both themes, also on a narrow screen",
    () =>
      withPrimary(async (api) => {
        await prepare(api);
        const { page, problems } = await openPage(api.url);
        await logIn(page, api.url, adminKey);
        await page.getByText(overviewTexts.noProblems).waitFor();
        await page
          .getByText(overviewTexts.states["PRIMARY"] ?? "")
          .or(page.getByText("primary"))
          .first()
          .waitFor();
        await page.getByRole("img", { name: overviewTexts.charts.decisions }).waitFor({ timeout: 30_000 });
        for (const theme of ["dark", "light"] as const) {
          await page.getByLabel(texts.theme.label).selectOption(theme);
          expect(await accessibilityProblems(page)).toEqual([]);
        }
        await page.setViewportSize({ width: 360, height: 640 });
        // Charts are drawn anew in the next frame.
        await page.waitForFunction("document.documentElement.scrollWidth <= 360");
        await page.goto(`${api.url}/console/#/nowhere`);
        await heading(page, texts.screens.notFound).waitFor();
        expect(problems).toEqual([]);
      }),
    timeoutMs,
  );

  test(
    "shows the name of a key as text, whatever is in it, and nothing that a read key cannot use",
    () =>
      withPrimary(async ({ url, call }) => {
        const name = `<script>document.title = "run"</script><b>x</b>`;
        const made = await call("POST", "/api/keys", { body: { name, role: "read" } });
        const { page, problems } = await openPage(url);
        await logIn(page, url, (made.json as { readonly token: string }).token);
        await page.getByText(texts.account.who(name, "read")).waitFor();
        await heading(page, overviewTexts.title).waitFor();
        expect(await page.title()).toBe(texts.title(overviewTexts.title));
        expect(await page.getByRole("heading", { name: overviewTexts.environments }).count()).toBe(0);
        expect(problems).toEqual([]);
      }),
    timeoutMs,
  );

  test(
    "works behind a proxy that adds a path prefix, and says when the node does not answer",
    () =>
      withPrimary(async ({ url }) => {
        const proxy = Bun.serve({
          hostname: "127.0.0.1",
          port: 0,
          fetch: (request) => {
            const { pathname, search } = new URL(request.url);
            if (!pathname.startsWith("/ops/ostiary/")) return new Response(null, { status: 502 });
            const target = url + pathname.slice("/ops/ostiary".length) + search;
            const { method, headers } = request;
            return fetch(target, { method, headers, redirect: "manual", decompress: false });
          },
        });
        const origin = `http://127.0.0.1:${proxy.port}`;
        try {
          const { page, problems } = await openPage(origin);
          await page.goto(`${origin}/ops/ostiary/console`);
          expect(page.url()).toBe(`${origin}/ops/ostiary/console/`);
          await logIn(page, `${origin}/ops/ostiary`, adminKey);
          await page.getByText(overviewTexts.noProblems).waitFor();
          expect(problems).toEqual([]);
          await proxy.stop(true);
          await page.getByText("This node has not answered").waitFor({ timeout: 30_000 });
          await heading(page, overviewTexts.title).waitFor();
        } finally {
          await proxy.stop(true);
        }
      }),
    timeoutMs,
  );
});
