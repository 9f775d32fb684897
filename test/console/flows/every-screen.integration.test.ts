/** What holds of every screen in the navigation: accessibility, the keyboard, roles, proxies, and a node that goes away. */
import * as Bun from "bun";
import { describe, expect } from "bun:test";
import type { Role } from "../../../src/console/ui/api/responses.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { examplePolicy } from "../../e2e/cluster.ts";
import { adminKey, eventually } from "../../replication/cluster.ts";
import type { Tab } from "./browser.ts";
import { type Flow, flow } from "./flow.ts";

/** Opens each screen of the navigation by its link, and calls `check` when it is loaded. */
async function visitAll(flow: Flow, role: Role, check: (tab: Tab, screen: string) => Promise<void>): Promise<Tab> {
  const tab = await flow.logIn(role);
  const navigation = tab.page.getByRole("navigation", { name: texts.navigation });
  const names = await navigation.getByRole("link").allTextContents();
  expect(names).toContain(texts.screens.overview);
  for (const name of names) {
    await tab.open("nowhere");
    await tab.heading(texts.screens.notFound).waitFor();
    await navigation.getByRole("link", { name, exact: true }).click();
    await tab.heading(texts.screens.notFound).waitFor({ state: "detached" });
    // Screen readers say the heading, because it has the focus.
    await tab.until("document.activeElement?.tagName === 'H1'");
    // A screen can load several parts.
    await eventually(async () => expect(await tab.page.getByText(texts.loading).count()).toBe(0));
    await check(tab, name);
  }
  return tab;
}

/**
 * What has the focus: what it is, and whether somebody can see that. An editor shows it on an element around it, and the
 * browser on a part of a field for a time.
 */
const focused = `(() => {
  let { activeElement } = document;
  const around = [];
  for (let inner = activeElement; inner; inner = inner.shadowRoot?.activeElement) {
    activeElement = inner;
    around.push(inner, inner.parentElement, inner.parentElement?.parentElement);
  }
  const { width, height } = activeElement.getBoundingClientRect();
  const hasOutline = (element) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return outlineStyle !== "none" && outlineWidth !== "0px";
  };
  const text = activeElement.tagName + " " + (activeElement.textContent || activeElement.getAttribute("aria-label"));
  const hasMark = activeElement.type === "datetime-local" || around.some((element) => element && hasOutline(element));
  const isVisible = width > 0 && height > 0 && hasMark;
  return { text: text.slice(0, 200), isVisible, isBody: activeElement === document.body };
})()`;

interface Focused {
  readonly text: string;
  readonly isVisible: boolean;
  readonly isBody: boolean;
}

const stopsMax = 150;

/** Presses Tab until the focus leaves the page. Returns what somebody cannot see. */
async function invisibleStops({ page }: Tab): Promise<string[]> {
  const invisible: string[] = [];
  for (let stops = 0; stops < stopsMax; stops++) {
    await page.keyboard.press("Tab");
    const { text, isVisible, isBody } = (await page.evaluate(focused)) as Focused;
    if (isBody) break;
    if (!isVisible) invisible.push(text);
  }
  return invisible;
}

const markup = `<script>stored = 1</script><img src="x" data-stored onerror="stored = 1">`;

const valueOf = (id: string, index: number) => ({ type: ["User", "String", "Organization"][index] ?? "", id });

describe("every screen", () => {
  flow("has no violation of WCAG, and shows what has the focus", async (flow) => {
    const invisible: string[] = [];
    await visitAll(flow, "admin", async (tab, screen) => {
      await tab.expectAccessible();
      invisible.push(...(await invisibleStops(tab)).map((stop) => `${screen}: ${stop}`));
    });
    expect(invisible).toEqual([]);
  });

  flow("asks for nothing that a read key may not have", async (flow) => {
    const refused: string[] = [];
    await visitAll(flow, "read", (tab, screen) => {
      tab.page.on("response", (response) => {
        if ([401, 403].includes(response.status())) refused.push(`${screen}: ${response.url()}`);
      });
      return Promise.resolve();
    });
    expect(refused).toEqual([]);
  });

  flow("shows stored markup as text", async (flow) => {
    await flow.call("POST", "/api/policy", { src: `# ${markup}\n${examplePolicy}`, filename: `${markup}.polar` });
    const member = { predicate: "has_role", args: [markup, "member", markup].map(valueOf) };
    await flow.call("POST", "/api/batch", [{ inserts: [member] }]);
    await flow.call("POST", "/api/environments", { id: "hostile", name: markup });
    await flow.key("read", { name: markup });
    await visitAll(flow, "admin", async ({ page }) => {
      expect(await page.locator("#console :is(script, [data-stored])").count()).toBe(0);
      expect(await page.evaluate("typeof stored")).toBe("undefined");
    });
  });

  flow("begins with a link to its content", async (flow) => {
    const tab = await flow.logIn("read");
    const { page } = tab;
    await page.reload();
    await page.getByText(overviewTexts.noProblems).waitFor();
    const link = page.locator("a[href], button, input, select, textarea, [tabindex='0']").first();
    expect(await link.innerText()).toBe(texts.skipToContent);
    // The heading takes the focus when its screen is ready.
    await eventually(async () => {
      await link.focus();
      expect((await link.boundingBox())?.x).toBeGreaterThanOrEqual(0);
    });
    await link.press("Enter");
    await tab.until("document.activeElement?.id === 'content'");
    expect(page.url()).not.toContain("content");
  });

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
