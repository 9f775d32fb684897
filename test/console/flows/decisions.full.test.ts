/** The screen Decisions in a real browser: search, live tail, export, and the explanation of one decision. */
import * as Bun from "bun";
import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { tailRowsMax } from "../../../src/console/ui/decisions/tail.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { filterTexts } from "../../../src/console/ui/texts/filters.ts";
import { liveListTexts } from "../../../src/console/ui/texts/live-list.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { decisionsTexts as words } from "../../../src/console/ui/texts/decisions.ts";
import { eventually } from "../../replication/cluster.ts";
import { addFilter } from "./browser.ts";
import { type Flow, flow } from "./flow.ts";

const flags = { "decisions.log": "all" };
const script = `<script>document.title = "run"</script>`;

function question(actor: string, action = "read", resource = "acme") {
  return { actor_type: "User", actor_id: actor, action, resource_type: "Organization", resource_id: resource };
}

async function ask(flow: Flow, actor: string, action?: string, resource?: string): Promise<void> {
  await flow.call("POST", "/api/authorize", question(actor, action, resource));
}

interface Found {
  readonly decisions: readonly { readonly id: string; readonly actor: { readonly id: string } }[];
}

/** The decisions of an actor, once the thread that writes the log has written one. */
async function logged(flow: Flow, actor: string): Promise<Found["decisions"]> {
  for (;;) {
    const { decisions } = (await flow.call(
      "GET",
      `/api/decisions?${new URLSearchParams({ actor_type: "User", actor_id: actor })}`,
    )) as Found;
    if (decisions.length > 0) return decisions;
  }
}

/** Its connections can be cut. */
function proxyTo(url: string, port: number) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers, signal } = request;
      return fetch(url + pathname + search, { method, headers, signal, redirect: "manual", decompress: false });
    },
  });
}

describe("the decision log", () => {
  flow(
    "is searched, explained and exported",
    async (flow) => {
      const contextFact = {
        predicate: "has_role",
        args: [
          ["User", "guest"],
          ["String", "member"],
          ["Organization", "acme"],
        ],
      };
      const context = [
        { predicate: contextFact.predicate, args: contextFact.args.map(([type, id]) => ({ type, id })) },
      ];
      await flow.call("POST", "/api/authorize", { ...question("guest"), context_facts: context });
      await ask(flow, "nobody", "delete");
      await ask(flow, script);
      await logged(flow, script);
      const tab = await flow.logIn("admin", "decisions");
      const { page } = tab;
      await tab.heading(words.title).waitFor();
      const denied = page.getByRole("link", { name: "User:nobody delete Organization:acme", exact: true });
      await denied.waitFor();
      // Text of a question is text.
      await page.getByRole("link", { name: `User:${script} read Organization:acme`, exact: true }).waitFor();
      await tab.expectAccessible();
      await tab.screenshot("decisions");
      await ask(flow, "later", "invite");
      await logged(flow, "later");
      await page.getByRole("button", { name: words.reload }).click();
      await page.getByRole("link", { name: "User:later invite Organization:acme", exact: true }).waitFor();

      // The search is a part of the address, and the key is not.
      await addFilter(tab, words.fields.actor, "User:guest");
      await denied.waitFor({ state: "detached" });
      expect(page.url()).toContain("#/decisions?actor=User%3Aguest");
      const link = page.getByRole("link", { name: "User:guest read Organization:acme", exact: true });
      const target = (await link.getAttribute("href")) ?? "";
      const [path, query] = target.split("?");
      expect(path).toBe("#/ask/authorize");
      expect(Object.fromEntries(new URLSearchParams(query))).toEqual({
        ...{ actor: "User:guest", action: "read", resource: "Organization:acme" },
        context: JSON.stringify(context),
      });

      // Why, as of its offset: the context fact counts, and what is written later does not.
      await page.getByRole("link", { name: words.whyOf("User:guest read Organization:acme") }).click();
      await page.getByRole("heading", { level: 2, name: words.one.title }).waitFor();
      const explanation = page.getByRole("region", { name: words.one.explanation });
      await explanation.getByText(reasonTexts.allowed, { exact: true }).waitFor({ timeout: 60_000 });
      await explanation.getByText(askTexts.tree.origins.context, { exact: true }).waitFor();
      await tab.expectAccessible();
      // The drawer closes with Escape and with Back, and the row has the focus again.
      await page.keyboard.press("Escape");
      await explanation.waitFor({ state: "detached" });
      expect(page.url()).toEndWith("#/decisions?actor=User%3Aguest");
      await tab.until(`document.activeElement?.textContent === ${JSON.stringify(words.why)}`);
      // The way back does not open it again.
      await page.goBack();
      expect(page.url()).toEndWith("#/decisions?actor=User%3Aguest");
      expect(await explanation.count()).toBe(0);
      const remove = page.getByRole("button", { name: filterTexts.remove(`${words.fields.actor}: User:guest`) });
      await remove.press("Enter");
      await tab.until(`document.activeElement?.ariaLabel === ${JSON.stringify(filterTexts.condition)}`);
      expect(await page.getByRole("textbox", { name: words.fields.actor }).inputValue()).toBe("");
      await denied.waitFor();
      await page.getByRole("link", { name: words.whyOf("User:nobody delete Organization:acme") }).click();
      await explanation.getByText(reasonTexts.denied, { exact: true }).waitFor({ timeout: 60_000 });
      await explanation.getByText(askTexts.tree.missing).first().waitFor();
      // The explanation is of its time: it offers no fact to add, and its lines are no links into the policy of now.
      await explanation
        .getByText(/^line \d+$/)
        .first()
        .waitFor();
      expect(await explanation.getByRole("button").count()).toBe(0);
      expect(await explanation.getByRole("link", { name: /^line \d+$/ }).count()).toBe(0);

      // The export has the searched decisions, and a wrong search says what is wrong.
      await tab.open("decisions?result=deny");
      await denied.waitFor();
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: words.export }).click();
      const file = await (await download).path();
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      expect(lines.map((line) => (JSON.parse(line) as { result: string }).result)).toEqual(lines.map(() => "deny"));
      await page.getByText(words.exported(String(lines.length))).waitFor();
      await tab.open("decisions?actor=:x");
      await page.getByText(words.notAnObject(words.fields.actor)).waitFor();
      await tab.open("decisions?actor=User:unheard-of");
      await page.getByText(words.none).waitFor();
    },
    { flags },
  );

  flow(
    "shows new decisions as they are made, and goes on after an interruption",
    async (flow) => {
      let proxy = proxyTo(flow.url, 0);
      const port = Number(proxy.port);
      const tab = await flow.logIn("admin", "decisions?result=deny", { url: `http://127.0.0.1:${port}` });
      const { page } = tab;
      await tab.heading(words.title).waitFor();
      await page.getByRole("button", { name: words.live }).click();
      await page.getByText(words.liveHelp(tailRowsMax)).waitFor();
      await ask(flow, "first", "delete");
      await page.getByText("User:first delete Organization:acme").waitFor();
      await tab.expectAccessible();

      // The list does not move under the pointer, and a drawer leaves it where it is.
      await page.getByText("User:first delete Organization:acme").hover();
      await ask(flow, "hovered", "delete");
      await page.getByRole("button", { name: liveListTexts.show(liveListTexts.fresh(1)) }).waitFor();
      expect(await page.getByText("User:hovered delete Organization:acme").count()).toBe(0);
      await page.getByRole("link", { name: words.whyOf("User:first delete Organization:acme") }).click();
      await page.getByRole("heading", { level: 2, name: words.one.title }).waitFor();
      await page.goBack();
      await page.getByRole("heading", { level: 2, name: words.one.title }).waitFor({ state: "detached" });
      await page.getByText(words.liveHelp(tailRowsMax)).waitFor();
      await page.getByRole("button", { name: liveListTexts.show(liveListTexts.fresh(1)) }).click();
      await page.getByText("User:hovered delete Organization:acme").waitFor();
      await page.mouse.move(0, 0);

      await proxy.stop(true);
      await page.getByText(words.liveInterrupted).waitFor({ timeout: 60_000 });
      await ask(flow, "meanwhile", "delete");
      proxy = proxyTo(flow.url, port);
      await page.getByText("User:meanwhile delete Organization:acme").waitFor({ timeout: 60_000 });
      // The newest is first.
      const rows = await page.getByRole("rowheader").allTextContents();
      expect(rows.slice(0, 2)).toEqual([
        "User:meanwhile delete Organization:acme",
        "User:hovered delete Organization:acme",
      ]);

      // More than can be shown arrive at once: the console skips to the newest, and says so.
      await proxy.stop(true);
      await page.getByText(words.liveInterrupted).waitFor({ timeout: 60_000 });
      const evaluations = Array.from({ length: 1000 }, (_, number) => ({
        subject: { type: "User", id: `u${number}` },
      }));
      const defaults = { action: { name: "delete" }, resource: { type: "Organization", id: "acme" } };
      for (let count = 0; count < 2; count++)
        await flow.call("POST", "/access/v1/evaluations", { ...defaults, evaluations });
      proxy = proxyTo(flow.url, port);
      await eventually(async () => {
        await ask(flow, "newest", "delete");
        expect(await page.getByText(words.skipped).count()).toBeGreaterThan(0);
      }, 30_000);
      await page.getByText("User:newest delete Organization:acme").first().waitFor();
      expect(await page.getByRole("rowheader").count()).toBeLessThanOrEqual(tailRowsMax);
      await page.getByRole("button", { name: words.pause }).click();
      await page.getByText(words.liveHelp(tailRowsMax)).waitFor({ state: "detached" });
      await proxy.stop(true);
    },
    { flags },
  );

  flow(
    "keeps the place of a list and of its drawer while 100 decisions per second arrive",
    async (flow) => {
      const tab = await flow.logIn("admin", "decisions");
      const { page } = tab;
      await page.getByRole("button", { name: words.live }).click();
      await page.getByText(words.liveHelp(tailRowsMax)).waitFor();
      let isEnding = false;
      const defaults = { action: { name: "delete" }, resource: { type: "Organization", id: "acme" } };
      const evaluations = Array.from({ length: 10 }, (_, number) => ({ subject: { type: "User", id: `u${number}` } }));
      const busy = (async () => {
        while (!isEnding) {
          await flow.call("POST", "/access/v1/evaluations", { ...defaults, evaluations });
          await Bun.sleep(100);
        }
      })();
      const rows = page.getByRole("rowheader");
      await eventually(async () => expect(await rows.count()).toBeGreaterThan(60), 60_000);
      const fresh = page.getByRole("button", { name: /^Show / });
      const freshCount = async (): Promise<number> => Number(/\d+/.exec((await fresh.textContent()) ?? "")?.[0]);
      const grows = async (): Promise<void> => {
        const before = await freshCount();
        await eventually(async () => expect(await freshCount()).toBeGreaterThan(before + 50), 60_000);
      };
      await rows.nth(5).hover();
      await fresh.waitFor();
      // The id of the decision, and where its row is.
      const why = page.getByRole("link", { name: /^Why/ }).nth(5);
      const place = async () => [await why.getAttribute("href"), await why.boundingBox()];
      const before = await place();
      await grows();
      expect(await place()).toEqual(before);

      await why.click();
      const heading = page.getByRole("heading", { level: 2, name: words.one.title });
      await heading.waitFor();
      await grows();
      await page.mouse.move(0, 0);
      await page.keyboard.press("Escape");
      await heading.waitFor({ state: "detached" });
      // The focus is on the row again, so the list still holds.
      await tab.until(`document.activeElement?.getAttribute("href") === ${JSON.stringify(before[0])}`);
      expect(await place()).toEqual(before);
      await grows();
      expect(await place()).toEqual(before);

      // Resumed, it goes on; it holds again when its top is out of sight, without pointer and focus.
      await fresh.click();
      await page.mouse.move(0, 0);
      await tab.until("document.activeElement === document.body || !document.activeElement.closest('table')");
      await eventually(async () => expect(await why.getAttribute("href")).not.toBe(before[0] as string));
      await page.evaluate("window.scrollTo(0, 1000)");
      await fresh.waitFor();
      const scrolled = await place();
      await grows();
      expect(await place()).toEqual(scrolled);
      await fresh.click();
      await tab.until("window.scrollY < 1000");
      await page.getByRole("button", { name: liveListTexts.pause }).click();
      await page.getByText(liveListTexts.paused).waitFor();
      await tab.expectAccessible();
      isEnding = true;
      await busy;
    },
    { flags },
  );

  flow(
    "hides what this console asked, shows what another key asked under such a request id, and queries as text",
    async (flow) => {
      const tab = await flow.logIn("admin", "ask/who?type=User&action=read&resource=Organization:acme");
      const { page } = tab;
      await page.getByRole("link", { name: "alice", exact: true }).waitFor();
      const key = await flow.key("read");
      const headers = {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
        "x-request-id": "console-1",
      };
      const body = JSON.stringify(question("forger"));
      await fetch(`${flow.url}/api/authorize`, { method: "POST", headers, body });
      await logged(flow, "forger");
      await tab.open("decisions");
      const forged = page.getByRole("row").filter({ hasText: "User:forger read Organization:acme" });
      await forged.getByText(words.ofConsole).waitFor();
      const query = page.getByRole("link", { name: 'allow(actor: User, "read", Organization:acme)', exact: true });
      expect(await query.count()).toBe(0);
      await page.getByLabel(words.showOwn).check();
      await query.waitFor();
      expect(page.url()).toEndWith("#/decisions?own=true");
      await query.click();
      await page.getByRole("link", { name: "alice", exact: true }).waitFor();
    },
    { flags },
  );

  flow("is for administrators only, and says so if it is off", async (flow) => {
    for (const role of ["read", "write"] as const) {
      const tab = await flow.logIn(role, "decisions");
      await tab.page.getByText(texts.screens.forbidden(words.title, "admin", role)).waitFor();
      expect(await tab.page.getByRole("link", { name: texts.screens.decisions }).count()).toBe(0);
      const key = await flow.key(role);
      for (const path of ["/api/decisions", "/api/decisions/x/explain"]) {
        const { status } = await fetch(flow.url + path, { headers: { authorization: `Bearer ${key}` } });
        expect([path, role, status]).toEqual([path, role, 403]);
      }
    }
    const tab = await flow.logIn("admin", "decisions");
    await tab.page.getByText("decisions.log").first().waitFor();
  });
});
