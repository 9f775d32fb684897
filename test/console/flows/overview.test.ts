/** The console in a real browser: the login, the overview, and what holds of all screens. */
import * as Bun from "bun";
import { describe, expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { adminKey } from "../../replication/cluster.ts";
import { flow } from "./flow.ts";

const question = { actor_type: "User", actor_id: "bob", action: "read", resource_type: "Repository", resource_id: "x" };

describe("the login", () => {
  flow("lets a key in, keeps it in the tab only, and forgets it", async (flow) => {
    const tab = await flow.tab();
    const { page } = tab;
    await tab.logIn("e_test_wrong_0123456789abcdef0123456789abcdef");
    await page.getByText("this API key is not valid here").waitFor();
    await tab.expectAccessible();
    await tab.logIn(adminKey);
    await tab.heading(overviewTexts.title).waitFor();
    expect(page.url()).not.toContain(adminKey);
    const stored = () => page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
    const [local, session, cookie] = JSON.parse(String(await stored())) as [object, Record<string, string>, string];
    expect([local, cookie]).toEqual([{}, ""]);
    expect(Object.values(session).join()).toContain(adminKey);
    await page.reload();
    await tab.heading(overviewTexts.title).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${flow.url}/console/`);
    await other.getByRole("heading", { level: 1, name: loginTexts.title }).waitFor();
    await page.getByRole("button", { name: texts.account.logOut }).click();
    await tab.heading(loginTexts.title).waitFor();
    expect(String(await stored())).not.toContain(adminKey);
  });

  flow("shows the name of a key as text, and nothing that a read key cannot use", async (flow) => {
    const name = `<script>document.title = "run"</script><b>x</b>`;
    const tab = await flow.logIn("read", "", { name });
    const { page } = tab;
    await page.getByText(texts.account.who(name, "read")).waitFor();
    await tab.heading(overviewTexts.title).waitFor();
    expect(await page.title()).toBe(texts.title(overviewTexts.title));
    expect(await page.getByRole("heading", { name: overviewTexts.environments }).count()).toBe(0);
  });
});

describe("the overview", () => {
  flow("shows the node, its problems and its last hour", async (flow) => {
    for (let count = 0; count < 20; count++) await flow.call("POST", "/api/authorize", question);
    const tab = await flow.logIn("admin");
    const { page } = tab;
    await page.getByText(overviewTexts.noProblems).waitFor();
    await page.getByText("primary", { exact: true }).first().waitFor();
    await page.getByRole("img", { name: overviewTexts.charts.decisions }).waitFor({ timeout: 30_000 });
    await tab.expectAccessible();
    await page.getByLabel(texts.theme.label).selectOption("dark");
    await page.locator("html[data-theme=dark]").waitFor();
    await tab.open("nowhere");
    await tab.heading(texts.screens.notFound).waitFor();
    const other = await flow.logIn("admin", "", { url: await flow.edge() });
    await other.page.getByText("edge-a", { exact: true }).waitFor();
    await other.page.getByText(overviewTexts.states["LIVE"] ?? "", { exact: true }).waitFor();
  });
});

describe("every screen", () => {
  flow("works behind a proxy that adds a path prefix, while the node goes away and comes back", async (flow) => {
    const prefix = "/ops/ostiary";
    const serve = (port: number) =>
      Bun.serve({
        hostname: "127.0.0.1",
        port,
        fetch: (request) => {
          const { pathname, search } = new URL(request.url);
          if (!pathname.startsWith(`${prefix}/`)) return new Response(null, { status: 502 });
          const { method, headers } = request;
          const target = flow.url + pathname.slice(prefix.length) + search;
          return fetch(target, { method, headers, redirect: "manual", decompress: false });
        },
      });
    let proxy = serve(0);
    const port = Number(proxy.port);
    try {
      const tab = await flow.tab(`http://127.0.0.1:${port}${prefix}`);
      const { page } = tab;
      await page.goto(`http://127.0.0.1:${port}${prefix}/console`);
      expect(page.url()).toBe(`http://127.0.0.1:${port}${prefix}/console/`);
      await tab.logIn(adminKey);
      await page.getByText(overviewTexts.noProblems).waitFor();
      await proxy.stop(true);
      const banner = page.getByText("This node has not answered");
      await banner.waitFor({ timeout: 30_000 });
      await tab.heading(overviewTexts.title).waitFor();
      proxy = serve(port);
      await banner.waitFor({ state: "detached", timeout: 30_000 });
      await page.getByText(overviewTexts.noProblems).waitFor();
    } finally {
      await proxy.stop(true);
    }
  });
});
